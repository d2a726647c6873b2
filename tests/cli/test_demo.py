"""``make demo``'s command with a child that plays a log: started, asked, shown, stopped, nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
CHILD = """
import asyncio, json, os, signal
from pathlib import Path
from tests.cli.runs_by_hand import SUCCESS
from tests.client.raw_server import RawServer

async def main():
    settings = json.loads(os.environ["HEADRACE_SETTINGS_JSON"])
    Path(os.environ["PID_FILE"]).write_text(str(os.getpid()))
    server = RawServer(SUCCESS)
    listener = await asyncio.start_server(server.handle, settings["host"], settings["port"])
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    print(f"READY http://{settings['host']}:{settings['port']}", flush=True)
    await told.wait()
    listener.close()

asyncio.run(main())
"""


def test_demo_asks_shows_and_stops(tmp_path: Path) -> None:
    (tmp_path / "serve_app.py").write_text(CHILD)
    pid_file = tmp_path / "pid"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DOCS": str(tmp_path), "MODEL": "offline"}
    done = subprocess.run(
        [sys.executable, "-m", "runtime.cli.demo"],
        cwd=tmp_path,
        env={**environment, "PID_FILE": str(pid_file)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ready in" in done.stderr
    assert "replay: make serve ARGS='--data .headrace/demo'" in done.stderr
    assert "nothing is left running" in done.stderr
    assert "A river is crossed" in done.stdout
    assert not psutil.pid_exists(int(pid_file.read_text()))
