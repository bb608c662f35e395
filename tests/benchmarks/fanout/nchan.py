"""nchan, nginx' module for Server-Sent Events, from Debian's packages: one worker, its channel's messages in memory."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fanout.server import HOST, Publisher, free_port, wait_for
from benchmarks.peers.registry import PeerMissing
from broadcaster.demo import host
from broadcaster.demo.debian import NotFromDebian, Packages, unpacked

PACKAGES = Packages("bookworm", ("nginx", "libnginx-mod-nchan"))
COMPILED_IN = Path("/var/lib/nginx")
CONFIG = """\
daemon off;
worker_processes 1;
user root;
pid {folder}/pid;
error_log {folder}/error.log;
load_module {root}/usr/lib/nginx/modules/ngx_nchan_module.so;
worker_rlimit_nofile 20000;
events {{ worker_connections 19000; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  nchan_shared_memory_size 256M;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {host}:{port} backlog=4096;
    location = /publish {{ nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 100; }}
    location = /listen {{
      nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message newest;
    }}
  }}
}}
"""


@contextmanager
def nchan() -> Iterator[Nchan]:
    """nginx with one worker. Raises PeerMissing."""
    if not COMPILED_IN.is_dir():
        raise PeerMissing(
            f"nginx with nchan insists on {COMPILED_IN}, wherever its files may be: make that folder"
        )
    try:
        root = unpacked("nchan-bookworm", PACKAGES)
    except NotFromDebian as error:
        raise PeerMissing(str(error)) from error
    with tempfile.TemporaryDirectory() as folder:
        address = HOST, free_port()
        config = Path(folder) / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, root=root, host=HOST, port=address[1]))
        nginx = [root / "usr" / "sbin" / "nginx", "-c", config, "-p", folder, "-e", f"{folder}/error.log"]
        process = subprocess.Popen(nginx)
        try:
            wait_for(address)
            while not (workers := host.children(process.pid)):
                time.sleep(0.01)  # the address is there before the worker
            publisher = Publisher(address, "/publish")
            yield Nchan(workers[0], address, publisher)
            publisher.close()
        finally:
            process.terminate()
            process.wait()


@dataclass
class Nchan:
    """See `Server`."""

    pid: int
    address: tuple[str, int]
    _publisher: Publisher
    who: str = "nchan (nginx, C)"
    request: bytes = f"GET /listen HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/event-stream\r\n\r\n".encode()
    ready: bytes = b"\r\n\r\n"

    def publish(self, changes: int) -> None:
        """See `Server.publish`."""
        self._publisher.publish(changes)
