"""A real Elasticsearch of one node, put together from its jars.

Not there without the commercial modules: ``GET /``, ILM, by-query, painless, ingest processors.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
from pathlib import Path
from typing import Final

from tests.support.ports import free_ports
from tests.support.servers.jars import alone, cache_directory, class_path
from tests.support.servers.java import run_java, server_command
from tests.support.servers.process import ServerProcess

VERSION: Final = "9.5.3"
_MAIN_SOURCE: Final = Path(__file__).with_name("SingleNode.java")
_COMPILER: Final = "org.eclipse.jdt:ecj:3.44.0"
_HEAP: Final = "512m"
_DESCRIPTOR: Final = f"""\
name=transport-netty4
description=The HTTP and transport layer
version={VERSION}
elasticsearch.version={VERSION}
java.version=21
classname=org.elasticsearch.transport.netty4.Netty4Plugin
"""


def elasticsearch_jars() -> tuple[list[Path], list[Path]]:
    """The server's class path, our compiled main included, and its network module's jars.

    Raises:
        ServerUnavailableError: They cannot be downloaded.
    """
    server = class_path(f"org.elasticsearch:elasticsearch:{VERSION}")
    module = class_path(f"org.elasticsearch.plugin:transport-netty4:{VERSION}")
    own = [jar for jar in module if jar not in server]
    return [_compiled_main(server), *server], own


class ElasticsearchServer:
    """One node on this machine, with data that survives its process. All methods block.

    Args:
        directory: Gets data and logs; made when absent.
    """

    def __init__(self, directory: Path) -> None:
        self._home = directory / "elasticsearch"
        self._http_port, self._transport_port = free_ports(2)
        self._process = ServerProcess("Elasticsearch", directory / "elasticsearch.log")
        self._directory = directory

    @property
    def url(self) -> str:
        """Where it answers; no TLS, no authentication."""
        return f"http://127.0.0.1:{self._http_port}"

    def start(self) -> None:
        """Start on the data it had and wait until it serves."""
        main, module = elasticsearch_jars()
        if not self._home.exists():
            self._lay_out(module)
        command = server_command(main, "SingleNode", _HEAP)
        self._process.start([*command, str(self._home), str(self._http_port), str(self._transport_port)])
        self._process.wait_ready(self._is_ready)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def stop(self) -> None:
        """End it; what it holds does not matter any more."""
        self._process.kill()

    def _lay_out(self, module: list[Path]) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        plugin = self._home / "modules" / "transport-netty4"
        plugin.mkdir(parents=True)
        for name in ("config", "data", "logs", "plugins"):
            (self._home / name).mkdir()
        for jar in module:
            shutil.copy(jar, plugin)
        (plugin / "plugin-descriptor.properties").write_text(_DESCRIPTOR)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._http_port, timeout=5)
        try:
            connection.request("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def _compiled_main(server: list[Path]) -> Path:
    """The directory of our compiled main. The compiler is a jar too, since a runtime has none."""
    source = _MAIN_SOURCE.read_bytes()
    target = cache_directory() / "classes" / hashlib.sha256(source + VERSION.encode()).hexdigest()[:16]
    compiler = class_path(_COMPILER)
    with alone(cache_directory()):
        if not (target / "SingleNode.class").exists():
            run_java(
                compiler,
                "org.eclipse.jdt.internal.compiler.batch.Main",
                *("-source", "21", "-target", "21", "-nowarn", "-d", str(target)),
                *("-classpath", ":".join(str(jar) for jar in server), str(_MAIN_SOURCE)),
            )
    return target
