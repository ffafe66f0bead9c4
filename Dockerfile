# The server in a container. Build: docker build -t webmacs .   Run: see docs/operations.md

FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/webmacs
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY webmacs ./webmacs
RUN /opt/webmacs/bin/pip install --no-cache-dir .
RUN mkdir -p /var/lib/webmacs

FROM python:3.13-slim
COPY --from=build /opt/webmacs /opt/webmacs
# A number, so that an orchestrator can see that it is not root; the directory is this user's before a volume covers it.
COPY --from=build --chown=10001:10001 /var/lib/webmacs /var/lib/webmacs
COPY deploy/container.toml /etc/webmacs/webmacs.toml
ENV PATH=/opt/webmacs/bin:$PATH HOME=/var/lib/webmacs PYTHONUNBUFFERED=1
# The environment wins over the file: whatever file is mounted, a container is reached from outside, at this port.
ENV WEBMACS_CONFIG=/etc/webmacs/webmacs.toml WEBMACS_SERVER__HOST=0.0.0.0 WEBMACS_SERVER__PORT=8000
USER 10001:10001
WORKDIR /var/lib/webmacs
VOLUME /var/lib/webmacs
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD python -c "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"WEBMACS_SERVER__PORT\"]}/health', timeout=4)"
STOPSIGNAL SIGTERM
ENTRYPOINT ["webmacs"]
CMD ["serve", "--config", "/etc/webmacs/webmacs.toml"]
