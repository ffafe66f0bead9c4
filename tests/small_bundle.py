"""A dashboard of a few lines, for tests of how one is served and of what looks at it."""

from __future__ import annotations

from pathlib import Path

INDEX = """\
<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <title>Small</title>
    <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
    <link rel="manifest" href="/manifest.webmanifest" />
    <script type="module" src="/assets/index-1a2b.js"></script>
    <link rel="stylesheet" href="/assets/index-3c4d.css" />
  </head>
  <body>
    <main>
      <h1>Small</h1>
      <p id="mode">connecting</p>
      <p id="value">none</p>
    </main>
  </body>
</html>
"""

# What the real one does, too: the live stream by the token of the session.
SCRIPT = """\
const token = localStorage.getItem('webmacs.token')
const mode = document.getElementById('mode')
if (token === null) mode.textContent = 'signed out'
else {
  const socket = new WebSocket(`/ws/datapoints/stream?token=${token}`)
  socket.onopen = () => { mode.textContent = 'websocket' }
  socket.onclose = () => { mode.textContent = 'closed' }
  socket.onmessage = ({ data }) => {
    for (const point of JSON.parse(data).datapoints ?? [])
      document.getElementById('value').textContent = point.value
  }
}
"""

FILES = {
    "index.html": INDEX,
    "favicon.svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>',
    "manifest.webmanifest": '{"name": "Small", "start_url": "/"}',
    "assets/index-1a2b.js": SCRIPT,
    "assets/index-3c4d.css": "h1 { color: rgb(1, 2, 3) }",
}


def small_bundle(directory: Path) -> Path:
    """Write it into a directory below that one, and return which."""
    place = directory / "static"
    (place / "assets").mkdir(parents=True)
    for name, text in FILES.items():
        (place / name).write_text(text, encoding="utf-8")
    return place
