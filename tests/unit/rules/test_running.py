"""Programs of PROGRAM and IMPORT: no shell, a bounded answer, a bounded time."""

from __future__ import annotations

from midlayer.mid.clock import SystemClock
from midlayer.rules import PlainView, SystemEnvironment
from midlayer.rules.running import MOST_OUTPUT, run
from midlayer.testing import FakeClock

CLOCK = SystemClock()
VIEW = PlainView(devpath="/devices/x")


def test_arguments_and_variables_arrive_as_they_are() -> None:
    words = ["/usr/bin/printenv"]
    result = run(words, {"A": "a b\n$(c)", "=": "no", "B\0": "no", "C": "\udcff"}, 20, CLOCK)
    assert result.status == 0
    assert result.output == "A=a b\n$(c)\nC=\udcff\n"
    assert run(["/bin/echo", ";", "$HOME", "`x`"], {}, 20, CLOCK).output == "; $HOME `x`\n"


def test_an_exit_status_and_a_signal() -> None:
    assert run(["/bin/sh", "-c", "exit 3"], {}, 20, CLOCK).status == 3
    assert run(["/bin/sh", "-c", "kill -9 $$"], {}, 20, CLOCK).why == "ended by signal 9"


def test_a_program_that_does_not_end_is_killed() -> None:
    class Hurrying(FakeClock):
        def monotonic(self) -> float:
            self.advance(10)
            return super().monotonic()

    result = run(["/bin/sh", "-c", "exec sleep 1000"], {}, 5, Hurrying())
    assert result.status is None
    assert result.why == "not done after 5 s, killed"


def test_an_endless_answer_is_cut() -> None:
    result = run(["/usr/bin/yes"], {}, 60, CLOCK)
    assert result.status is None  # SIGPIPE
    short = run(["/bin/sh", "-c", f"yes | head -c {MOST_OUTPUT}; exit 0"], {}, 60, CLOCK)
    assert len(short.output) in (0, MOST_OUTPUT)
    assert run(["/bin/printf", "a\\0b"], {}, 20, CLOCK).output == "a"


def test_what_can_not_be_started_says_why() -> None:
    assert "No such file" in run(["/nowhere/at/all"], {}, 5, CLOCK).why
    environment = SystemEnvironment()
    assert environment.run_program(VIEW, ["nothing-of-this-name"], {}, 5).why == "No such file or directory"
    assert environment.run_program(VIEW, ["/nowhere\0x"], {}, 5).status is None


def test_scsi_id_is_answered_where_udev_is_not_installed() -> None:
    environment = SystemEnvironment(programs=[])
    assert environment.run_program(VIEW, ["scsi_id", "--export"], {}, 5).status == 1  # no INQUIRY data


def test_users_groups_and_the_machine() -> None:
    environment = SystemEnvironment()
    assert environment.user("root") == environment.group("root") == 0
    assert environment.user("12") == 12
    assert environment.user("no such user") is None
    assert environment.sysctl("kernel/ostype") == "Linux"
    assert environment.sysctl("../version") is None
    assert environment.mode("/dev/null") is not None
    assert environment.entries("/nowhere") == []
    assert environment.command_line()
