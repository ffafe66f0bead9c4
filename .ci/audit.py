"""Known vulnerabilities in what a fresh installation would get today, by pip-audit.

    python .ci/audit.py

Exits with 1 when there is a finding. When the data cannot be reached it says so and exits with 0: that is no finding,
and a machine without a way out must still be able to check everything else.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]


def fresh(directory: Path) -> list[str]:
    """What pip would install for this project into an empty environment, as `name==version`; ours left out."""
    report = directory / "fresh.json"
    subprocess.run([*PIP, "install", "-qq", "--dry-run", "--ignore-installed", "--report", report, "."], check=True)
    packages = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    return sorted(f"{package['name']}=={package['version']}" for package in packages if package["name"] != "webmacs")


def audited(pins: list[str], directory: Path) -> list[dict[str, Any]] | None:
    """pip-audit's word on each package; None when it could not get at its data."""
    requirements, answer = directory / "requirements.txt", directory / "audit.json"
    requirements.write_text("\n".join(pins))
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    done = subprocess.run(
        [*command, "--requirement", requirements, "--format", "json", "--output", answer],
        check=False,
        capture_output=True,
        text=True,
    )
    if not answer.exists():  # also with exit code 1, as for findings
        print((done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1][:200])
        return None
    found: list[dict[str, Any]] = json.loads(answer.read_text())["dependencies"]
    return found


def main() -> int:
    """Print the verdict; the exit code."""
    with tempfile.TemporaryDirectory() as name:
        pins = fresh(Path(name))
        packages = audited(pins, Path(name))
    unknown = [package["name"] for package in packages or () if "skip_reason" in package]
    if packages is None or len(unknown) == len(pins):
        print(f"audit: the data could not be reached; {len(pins)} packages were NOT looked up")
        return 0
    findings = [(package, flaw) for package in packages for flaw in package.get("vulns", [])]
    for package, flaw in findings:
        mends = ", ".join(flaw["fix_versions"]) or "none yet"
        print(f"{package['name']} {package['version']}: {flaw['id']} {' '.join(flaw['aliases'])}; mended in: {mends}")
    said = f", could not be looked up: {', '.join(unknown)}" if unknown else ""
    print(f"audit: {len(packages) - len(unknown)} packages looked up, {len(findings)} findings{said}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
