"""The HTTP API: every endpoint, every error with its exit status, and the OpenAPI document."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from midlayer.upper.sg import BoundDevice

from .serving import Serving

TUR, READ_CAPACITY = "00" * 6, "25" + "00" * 9


def get(serving: Serving, path: str, **query: Any) -> Any:
    answer = serving.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(serving: Serving, path: str, **wish: Any) -> Any:
    answer = serving.http.post(path, json=wish)
    assert answer.status_code == 200, answer.text
    return answer.json()


def addresses(answer: dict[str, Any]) -> list[str]:
    return [item["address"] for item in answer["items"]]


def test_lists_carry_the_event_count(serving: Serving) -> None:
    attached = get(serving, "attached")
    assert (attached["event_count"], addresses(attached)) == (3, ["0:0:0:0", "0:0:0:1"])
    assert get(serving, "detached") == {"event_count": 3, "items": []}
    (host,) = get(serving, "hosts")["items"]
    assert (host["host"], host["name"], host["info"]) == (0, "test array", "test array, 2 units")


def test_a_range_of_a_list(serving: Serving) -> None:
    for lun in range(2, 6):
        post(serving, "plug", device=f"virtual:disk?lun={lun}&size=1M")
    assert addresses(get(serving, "attached", offset=2, limit=2)) == ["0:0:0:2", "0:0:0:3"]
    assert addresses(get(serving, "attached", offset=9)) == []
    for lun in (3, 2, 5):
        post(serving, "unplug", device=f"0:0:0:{lun}")
    assert addresses(get(serving, "detached", limit=2)) == ["0:0:0:5", "0:0:0:2"], "latest first"


@pytest.mark.parametrize("name", ["0:0:0:1", "sg1"])
def test_one_element(serving: Serving, name: str) -> None:
    (item,) = get(serving, f"attached/{name}")["items"]
    assert (item["address"], item["model"], item["names"]) == ("0:0:0:1", "Second", {"sg": "sg1"})


def test_status(serving: Serving) -> None:
    status = get(serving, "status")
    assert (status["event_count"], status["oldest_event_count"]) == (3, 1)
    assert (status["hosts"], status["devices"], status["uevents"]) == (1, 2, None)
    assert status["event_log"].endswith("state/events.sqlite")


def test_plug_and_unplug(serving: Serving) -> None:
    plugged = {"address": "0:0:0:2", "event_count": 4, "quarantined": False}
    assert post(serving, "plug", device="virtual:disk?size=1M") == plugged
    assert post(serving, "unplug", device="sg2") == {**plugged, "event_count": 5}


def test_hosts_come_and_go(serving: Serving) -> None:
    assert post(serving, "hosts", name="second") == {"host": 1, "event_count": 4}
    assert post(serving, "plug", device="virtual:tape", host=1)["address"] == "1:0:0:0"
    gone = serving.http.delete("hosts/1")
    assert gone.json() == {"host": 1, "event_count": 7}


def test_offline_and_online(serving: Serving) -> None:
    assert post(serving, "state", device="0:0:0:0", state="offline")["event_count"] == 4
    assert post(serving, "execute", device="0:0:0:0", cdb=TUR)["host_byte"] == 1
    assert post(serving, "state", device="0:0:0:0", state="running")["event_count"] == 5
    assert post(serving, "execute", device="0:0:0:0", cdb=TUR)["host_byte"] == 0


def test_execute_both_ways(serving: Serving) -> None:
    block = bytes(range(256)) * 2
    write, read = "2a000000000700000100", "28000000000700000100"
    sent = base64.b64encode(block).decode()
    assert post(serving, "execute", device="sg0", cdb=write, data_out=sent)["status"] == 0
    answer = post(serving, "execute", device="sg0", cdb=read, data_in=1024)
    assert base64.b64decode(answer["data"]) == block
    assert (answer["residual"], answer["address"], answer["cdb"]) == (512, "0:0:0:0", read)


def test_a_command_that_fails_is_an_answer(serving: Serving) -> None:
    answer = post(serving, "execute", device="0:0:0:1", cdb="2a" + "00" * 7 + "0100", data_out="A" * 684)
    assert (answer["status"], answer["driver_byte"]) == (2, 8)
    assert bytes.fromhex(answer["sense"])[2] == 7, "DATA PROTECT"


def test_rescan(serving: Serving) -> None:
    host = serving.daemon.own_hosts()[0]
    serving.daemon.virtual.disconnect(host, 0, 0, 1)
    plan = post(serving, "rescan", plan=True, remove=True)
    assert [(step["action"], step["address"]) for step in plan["items"]] == [("remove", "0:0:0:1")]
    assert plan["event_count"] == 3
    assert post(serving, "rescan", remove=True)["event_count"] == 4
    assert addresses(get(serving, "attached")) == ["0:0:0:0"]


def test_a_device_in_use_stays(serving: Serving) -> None:
    with BoundDevice(serving.daemon.find("0:0:0:0")):
        for answer in (
            serving.http.post("unplug", json={"device": "0:0:0:0"}),
            serving.http.delete("hosts/0"),
        ):
            assert answer.status_code == 409
            assert "in use: open 1 times in this process; nothing was done" in answer.json()["error"]
        assert len(get(serving, "attached")["items"]) == 2
        post(serving, "unplug", device="0:0:0:0", force=True)


WRONG: dict[str, tuple[str, str, Any, int, int, str]] = {
    "no such place": ("GET", "nothing", None, 404, 1, "GET /v1/nothing: Not Found"),
    "no such method": ("PUT", "attached", None, 405, 1, "Method Not Allowed"),
    "no such device": ("GET", "attached/9:0:0:0", None, 404, 15, "no device is attached at this address"),
    "no such node": ("GET", "attached/sg9", None, 404, 15, "no attached device has this node"),
    "no device": ("GET", "attached/x", None, 400, 1, "'x' does not name a device"),
    "offset": ("GET", "attached?offset=-1", None, 422, 1, "offset: Input should be greater"),
    "since": ("GET", "events?since=4", None, 400, 1, "event count 4 is beyond the last one, 3"),
    "huge since": ("GET", f"events?since={10**30}", None, 422, 1, "since: "),
    "huge limit": ("GET", f"events?limit={10**30}", None, 422, 1, "limit: "),
    "wait since": ("GET", "wait?since=99", None, 400, 1, "event count 99 is beyond the last one, 3"),
    "unknown key": (
        "POST",
        "plug",
        {"device": "x", "hots": 1},
        422,
        1,
        "hots: Extra inputs are not permitted",
    ),
    "no key": ("POST", "plug", {}, 422, 1, "device: Field required"),
    "no JSON": ("POST", "plug", b"{", 422, 1, "JSON decode error"),
    "unit option": ("POST", "plug", {"device": "virtual:disk?sise=1"}, 400, 1, "did you mean size?"),
    "taken": ("POST", "plug", {"device": "virtual:disk?lun=1"}, 409, 15, "0:0:0:1"),
    "no host": (
        "POST",
        "plug",
        {"device": "virtual:disk", "host": 9},
        404,
        15,
        "host 9: there is no such host",
    ),
    "no scan": ("POST", "plug", {"device": "virtual:disk?qualifier=011b"}, 404, 15, "0:0:0:2"),
    "unplugging nothing": ("POST", "unplug", {"device": "0:0:7:0"}, 404, 15, "no device is attached"),
    "unplugging a file": (
        "POST",
        "unplug",
        {"device": "virtual:disk"},
        400,
        1,
        "not name a device of the daemon",
    ),
    "state": ("POST", "state", {"device": "sg0", "state": "on"}, 400, 1, "write running or offline"),
    "host": ("DELETE", "hosts/7", None, 404, 15, "host 7: there is no such host"),
    "rescan": ("POST", "rescan", {"host": 3}, 404, 15, "host 3: there is no such host"),
    "cdb": ("POST", "execute", {"device": "sg0", "cdb": "zz"}, 400, 1, "cdb must be hexadecimal"),
    "short cdb": ("POST", "execute", {"device": "sg0", "cdb": "00"}, 400, 1, "a CDB has 6 to 260 bytes"),
    "base64": ("POST", "execute", {"device": "sg0", "cdb": TUR, "data_out": "?"}, 400, 1, "base64"),
    "both ways": (
        "POST",
        "execute",
        {"device": "sg0", "cdb": TUR, "data_out": "", "data_in": 1},
        400,
        1,
        "one way",
    ),
    "too much": (
        "POST",
        "execute",
        {"device": "sg0", "cdb": TUR, "data_in": 1 << 40},
        400,
        1,
        "can be moved",
    ),
    "no time": ("POST", "execute", {"device": "sg0", "cdb": TUR, "timeout_s": 0}, 422, 1, "greater than 0"),
    "half a character in a host's name": (
        "POST",
        "hosts",
        b'{"name": "\\ud800"}',
        422,
        1,
        "name: Value error, '\\ud800' has half",
    ),
    "half a character in a plug": (
        "POST",
        "plug",
        b'{"device": "virtual:disk?file=/x\\udcff"}',
        422,
        1,
        "is no text",
    ),
    "half a character in a fault": ("POST", "faults", b'{"name": "\\ud800", "lost": true}', 400, 1, "name: "),
    "a zero byte in a path": (
        "POST",
        "plug",
        {"device": "virtual:disk?file=%00"},
        400,
        1,
        "file: '\\x00' must",
    ),
    "not a time": (
        "POST",
        "execute",
        b'{"device": "sg0", "cdb": "000000000000", "timeout_s": NaN}',
        422,
        1,
        "timeout_s: ",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_error(shared: Serving, case: str) -> None:
    method, path, wish, http_status, exit_status, says = WRONG[case]
    content = wish if isinstance(wish, bytes) else None if wish is None else json.dumps(wish)
    answer = shared.http.request(method, path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == http_status, answer.text
    assert answer.json() == {"error": answer.json()["error"], "exit_status": exit_status}
    assert says in answer.json()["error"]
    assert get(shared, "status")["event_count"] == 3, "nothing was done"


def test_nothing_is_plugged_while_the_log_can_not_be_written(serving: Serving) -> None:
    database = serving.daemon.scsimon._log._db
    database.execute("PRAGMA max_page_count = 1")
    tried = 0
    while (answer := serving.http.post("plug", json={"device": "virtual:disk?size=1M"})).is_success:
        tried += 1
        assert tried < 200
    assert (answer.status_code, answer.json()["exit_status"]) == (507, 78)
    attached = addresses(get(serving, "attached"))
    assert [str(device.address) for device in serving.daemon.subsystem.devices()] == attached
    assert get(serving, "status")["event_log_failure"]
    database.execute("PRAGMA max_page_count = 100000")
    assert post(serving, "plug", device="virtual:disk?size=1M")["address"] not in attached
    assert get(serving, "status")["event_log_failure"] == ""


def test_the_document_describes_every_path(serving: Serving) -> None:
    document = serving.http.get("http://midlayer/openapi.json").json()
    assert document["openapi"].startswith("3.")
    routes = serving.server.config.app.routes
    offered = {
        (path.path.replace(":path}", "}"), method)  # how a parameter is matched is no part of the document
        for path in routes
        if path.path.startswith("/v1")
        for method in path.methods
    }
    described = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert described == offered
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["responses"]["200"]["content"]
            for code in ("400", "404", "409", "422"):
                schema = operation["responses"][code]["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}
    stream = document["paths"]["/v1/events/stream"]["get"]["responses"]["200"]["content"]
    assert list(stream) == ["text/event-stream"]


def test_every_reference_in_the_document_leads_somewhere(serving: Serving) -> None:
    document = serving.http.get("http://midlayer/openapi.json").json()

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for inner in value.values() for found in references(inner)]
        return [found for inner in value for found in references(inner)] if isinstance(value, list) else []

    for reference in references(document):
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        assert place["type"] == "object"


@pytest.mark.parametrize("key", ["file", "f%69le", "twin", "twi%6e"])
def test_nobody_on_tcp_has_a_file_opened(serving: Serving, tmp_path: Path, key: str) -> None:
    app = serving.server.config.app
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))  # type: ignore[arg-type]

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080/v1/") as http:
            return await http.post("plug", json={"device": f"virtual:disk?{key}={tmp_path}/x&size=1M"})

    answer = asyncio.run(ask())
    assert (answer.status_code, "through the Unix socket only" in answer.text) == (400, True)
    assert not (tmp_path / "x").exists()
