"""SIGTERM: what has come is answered, nothing is reset, and the worker ends in time."""

import os
import signal
import threading

from tests.worker.conftest import children, read_all, request, until


def test_what_has_begun_is_answered_and_the_idle_are_let_go(serve):
    service = serve()
    idle, half, slow = service.connect(), service.connect(), service.connect()
    idle.sendall(request("GET", "/sized?says=1&has=1"))
    idle.recv(1000)
    half.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe")
    slow.sendall(request("POST", "/block?seconds=2", "Content-Length: 0"))
    assert service.get("/")[0] == 200
    service.process.send_signal(signal.SIGTERM)
    half.sendall(b"llo")
    assert b'"hello"' in read_all(half)
    assert read_all(idle) == b""
    assert b"released" in read_all(slow)
    assert service.process.wait(60) == 0


def test_no_request_under_load_is_reset(serve):
    service = serve()
    stop = threading.Event()
    counts, failures = [0] * 8, list[object]()

    def load(number):
        while not stop.is_set():
            try:
                client = service.connect()
            except ConnectionRefusedError:
                return  # it has stopped listening
            except OSError as error:
                failures.append(error)
                return
            with client:
                while not stop.is_set():
                    try:
                        client.sendall(request("GET" if number % 2 else "POST", "/sized?says=1&has=1"))
                        answer = client.recv(65_536)
                    except OSError as error:
                        failures.append(error)
                        return
                    if not answer:
                        failures.append("closed without an answer")
                        return
                    counts[number] += 1
                    if b"Connection: close" in answer:
                        break

    threads = [threading.Thread(target=load, args=[number]) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    until(lambda: min(counts) > 50, "all are at it")
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(60) == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_worker_does_not_wait_for_the_slow_longer_than_gunicorn_allows(serve):
    service = serve(graceful_timeout=2, GRACE=100)  # seconds that a client has for its request
    with service.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe")
        assert service.get("/")[0] == 200
        assert service.stop() == 0  # within a minute, else it raises


def test_a_worker_that_is_told_to_stop_while_it_loads_the_app_ends_well(serve, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    service = serve(env={"WAIT_FOR": str(tmp_path / "pipe")})
    with open(tmp_path / "pipe", "w"):  # waits until the app is being loaded
        service.process.send_signal(signal.SIGTERM)
        until(lambda: any("Handling signal: term" in line for line in service.lines), "gunicorn has it")
        os.kill(int(children(service.process.pid)[0]), signal.SIGTERM)  # so that it surely has it too
    assert service.process.wait(60) == 0
    service.stop()
    # Python says "Exception ignored in", if the signal comes while something is being collected: it ends well too.
    wrong = [line for line in service.lines if "Exception" in line and "Exception ignored in" not in line]
    assert not wrong, service.lines
