"""A loopback server that speaks the OpenAI protocol and misbehaves on purpose."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = {
    "plans": [{"why": "vectors along the row", "steps": ["i0, i1 = split(y.i0, [None, ?lanes{8,16}])", "vectorize(i1)", "parallel(i0)"]}]
}


class FaultyServer(ThreadingHTTPServer):
    """Plays the faults of a list, one per request, then answers well. ``seen`` holds the requests' bodies."""

    daemon_threads = True

    def __init__(self, faults: list[str], answer: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults, self.answer = list(faults), answer
        self.seen: list[dict[str, Any]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up are expected."""


class _Handler(BaseHTTPRequestHandler):
    server: FaultyServer

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(body)
        fault = self.server.faults.pop(0) if self.server.faults else "none"
        text = self.server.answer if isinstance(self.server.answer, str) else json.dumps(self.server.answer)
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        reply: Any = {"id": "1", "object": "chat.completion", "created": 1, "model": "fake", "choices": [choice]}
        reply["usage"] = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        status, headers = 200, {"Content-Type": "application/json"}
        if fault == "500":
            status, reply = 500, {"error": {"message": "broken"}}
        elif fault == "429":
            status, reply = 429, {"error": {"message": "slow down"}}
            headers["Retry-After"] = "0.05"
        elif fault == "401":
            status, reply = 401, {"error": {"message": "bad key sk-secret"}}
        elif fault == "hang":
            time.sleep(3)
        elif fault == "disconnect":
            self.send_response(200)
            self.send_header("Content-Length", "5000")
            self.end_headers()
            self.wfile.write(b'{"id": "1", "choi')
            self.wfile.flush()
            self.connection.close()
            return
        elif fault == "html":
            reply, headers["Content-Type"] = "<html>gateway</html>", "text/html"
        elif fault == "no choices":
            reply["choices"] = []
        elif fault == "error in 200":
            reply = {"error": {"message": "overloaded"}}
        elif fault == "refusal":
            choice["message"] = {"role": "assistant", "content": None, "refusal": "I cannot"}
        elif fault == "length":
            choice["finish_reason"] = "length"
            choice["message"]["content"] = text[: len(text) // 2]
        elif fault == "filter":
            choice["finish_reason"] = "content_filter"
        elif fault == "empty":
            choice["message"]["content"] = ""
        elif fault == "no usage":
            del reply["usage"]
        elif fault == "no schema" and "response_format" in body and body["response_format"]["type"] == "json_schema":
            status, reply = 400, {"error": {"message": "response_format of type json_schema is not supported"}}
            self.server.faults.insert(0, fault)
        elif fault == "no seed" and "seed" in body:
            status, reply = 400, {"error": {"message": "Unsupported parameter: 'seed'"}}
            self.server.faults.insert(0, fault)
        data = (reply if isinstance(reply, str) else json.dumps(reply)).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(faults: list[str], answer: Any = None) -> Iterator[FaultyServer]:
    """Run a server in a thread; its address is ``http://127.0.0.1:PORT/v1``."""
    server = FaultyServer(faults, ANSWER if answer is None else answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def address(server: FaultyServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/v1"
