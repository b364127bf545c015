"""Draws `docs/report.png`: the first screen of the page of a night that has failed.

`python docs/make_report_picture.py` runs a batch and takes the picture with Chromium. Times differ from run to run, so it is made anew only
when the page changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

TARGET: Final = Path(__file__).resolve().parent / "report.png"
_SIZE: Final = (880, 640)
_BATCH: Final = """\
name: nightly
jobs:
  - name: fetch-${{ item }}
    run: sleep 0.$(( ${{ item }} % 5 + 1 )); echo "part ${{ item }}"
    foreach: {command: seq 48}
  - name: load-${{ item }}
    run: |
      echo "connected to the database"
      echo "reading part ${{ item }}"
      if [ $(( ${{ item }} % 9 )) -eq 5 ]; then
        echo 'column "amount_eur" of relation "sales" does not exist' >&2
        exit 1
      fi
      sleep 0.2
    foreach: {command: seq 48}
    needs: ["fetch-${{ item }}"]
  - {name: total, run: echo done, needs: ["load-*"]}
"""


def main() -> None:
    """Run the batch, and take a picture of its page."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        Path(folder, "joblot.yaml").write_text(_BATCH, encoding="utf-8")
        words = [sys.executable, "-m", "joblot", "run", "-q", "-j", "6", "--report", "report.html"]
        subprocess.run(words, cwd=folder, check=False, capture_output=True)
        page = Path(folder, "report.html")
        html = page.read_text(encoding="utf-8").replace(folder, "/home/you/nightly")
        page.write_text(html.replace(f"on {os.uname().nodename}<", "on batch1<"), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        shown = browser.new_page(viewport={"width": _SIZE[0], "height": _SIZE[1]}, color_scheme="light")
        shown.goto(page.as_uri())
        shown.wait_for_selector("html[data-ready]")
        shown.screenshot(path=TARGET)
        browser.close()


if __name__ == "__main__":
    main()
