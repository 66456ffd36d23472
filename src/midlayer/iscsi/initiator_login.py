"""The initiator's side of a login: security stage, then operational stage, then the session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from midlayer.iscsi import chap, negotiation, text
from midlayer.iscsi.chap import Credentials
from midlayer.iscsi.codes import LoginStatus, Stage
from midlayer.iscsi.errors import AuthenticationError, LoginError, ProtocolError
from midlayer.iscsi.login import MAX_EXCHANGES, NEXT_STAGES, SECURITY_KEYS, Identity
from midlayer.iscsi.negotiation import Parameters, Value
from midlayer.iscsi.pdu import LoginRequest, LoginResponse, with_lengths
from midlayer.iscsi.serial import add

_OFFERED = (
    "HeaderDigest",
    "DataDigest",
    "MaxConnections",
    "InitialR2T",
    "ImmediateData",
    "MaxBurstLength",
    "FirstBurstLength",
    "DefaultTime2Wait",
    "DefaultTime2Retain",
    "MaxOutstandingR2T",
    "DataPDUInOrder",
    "DataSequenceInOrder",
    "ErrorRecoveryLevel",
    "iSCSIProtocolLevel",
)
_OFFERED_IN_DISCOVERY = (
    "HeaderDigest",
    "DataDigest",
    "DefaultTime2Wait",
    "DefaultTime2Retain",
    "ErrorRecoveryLevel",
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an initiator wants of a session.

    Attributes:
        initiator_name: Who it is.
        target_name: Whom it wants; empty for a discovery session.
        isid: Six bytes that no other session of this initiator with this target has.
        account: Its name and secret; None to come without.
        target_account: What the target must answer its challenge with; None not to ask.
        algorithms: Numbers for CHAP_A, in order of preference.
        wanted: Values by key, over `negotiation.OURS`; for lists, in order of preference.
        alias: A text for people.
    """

    initiator_name: str
    target_name: str = ""
    isid: bytes = bytes.fromhex("80 00 00 00 00 01")
    account: Credentials | None = None
    target_account: Credentials | None = None
    algorithms: tuple[int, ...] = tuple(chap.ALGORITHMS)
    wanted: dict[str, Value] = field(default_factory=dict)
    alias: str = ""

    def __post_init__(self) -> None:
        if self.target_account is not None and self.account is None:
            raise ProtocolError("the target can be asked for its secret only by one who has told his own")


class InitiatorLogin:
    """One login.

    Args:
        wishes: Whom to meet, and how.
        parameters: Where the outcome goes.
        random: Gives random bytes, for challenges.

    Attributes:
        identity: Who meets whom; with the TSIH at the end.
        done: True once the session has begun.
        moved_to: Where the target has moved to, if it says so (``host:port,tag``).
        refused_with: Status of the response with which it refused us.
        exp_stat_sn, cmd_sn, exp_cmd_sn, max_cmd_sn: Where the numbers go on.
    """

    def __init__(self, wishes: Wishes, parameters: Parameters, random: Callable[[int], bytes]) -> None:
        self.identity = Identity(
            wishes.initiator_name, wishes.isid, wishes.target_name, discovery=not wishes.target_name
        )
        self.done = False
        self.moved_to = ""
        self.refused_with: LoginStatus | None = None
        self.exp_stat_sn = 0
        self.cmd_sn = 1
        self.exp_cmd_sn = self.max_cmd_sn = 1
        self._wishes = wishes
        self._parameters = parameters
        self._random = random
        self._text = text.TextGatherer()
        self._stage: int = Stage.SECURITY if wishes.account else Stage.OPERATIONAL
        self._verifier: chap.Verifier | None = None
        self._step = "offer"
        self._exchanges = 0
        self._offered: set[str] = set()

    def begin(self) -> tuple[bytes, bytes]:
        """Return header and data of the first request."""
        wishes = self._wishes
        pairs: text.Pairs = [("InitiatorName", wishes.initiator_name)]
        if wishes.alias:
            pairs.append(("InitiatorAlias", wishes.alias))
        pairs.append(("SessionType", "Discovery" if self.identity.discovery else "Normal"))
        if wishes.target_name:
            pairs.append(("TargetName", wishes.target_name))
        if self._stage == Stage.SECURITY:
            return self._request([*pairs, ("AuthMethod", "CHAP" if wishes.account else "CHAP,None")])
        return self._request([*pairs, *self._offers()], transit=True)

    def handle(self, header: bytes, data: memoryview | bytes) -> tuple[bytes, bytes] | None:
        """Take one response; return the next request, or None once the session has begun.

        Raises:
            LoginError: The target refused, or answered what can not be.
        """
        response = LoginResponse.decode(header)
        if response.status != LoginStatus.SUCCESS:
            raise self._refusal(response, data)
        self.exp_stat_sn = add(response.stat_sn, 1)
        self.exp_cmd_sn, self.max_cmd_sn = response.exp_cmd_sn, response.max_cmd_sn
        self._exchanges += 1
        if self._exchanges > MAX_EXCHANGES or response.csg != self._stage:
            raise LoginError("the target's login response is for another stage, or there is no end of them")
        self._text.add(data)
        if response.continues:
            return self._request([])
        pairs = self._take_text()
        return (
            self._security(response, pairs)
            if self._stage == Stage.SECURITY
            else self._operate(response, pairs)
        )

    def _take_text(self) -> text.Pairs:
        try:
            return self._text.take()
        except ProtocolError as error:
            raise LoginError(str(error)) from None

    def _security(self, response: LoginResponse, pairs: text.Pairs) -> tuple[bytes, bytes] | None:
        said = {key: value for key, value in pairs if key in SECURITY_KEYS}
        self._learn(pairs)
        if response.transit:
            if self._step != "answered":
                raise AuthenticationError("the target ends the security stage before CHAP was done")
            self._check_target(said)
            return self._enter(response.nsg)
        match self._step:
            case "offer":
                if said.get("AuthMethod") != "CHAP":
                    raise AuthenticationError("the target does not take CHAP")
                self._step = "algorithm"
                return self._request([("CHAP_A", ",".join(map(str, self._wishes.algorithms)))])
            case "algorithm":
                self._step = "answered"
                return self._request(self._answer(said), transit=True)
            case _:
                raise AuthenticationError("the target goes on with the security stage after CHAP was done")

    def _answer(self, said: dict[str, str]) -> text.Pairs:
        """Answer the target's challenge, and set it one of ours if its secret is known."""
        wishes = self._wishes
        assert wishes.account is not None
        algorithm = text.number(said.get("CHAP_A", ""))
        if algorithm not in wishes.algorithms:
            raise AuthenticationError("the target chose a CHAP algorithm that was not offered")
        pairs = chap.answer_challenge(
            algorithm, said.get("CHAP_I", ""), said.get("CHAP_C", ""), wishes.account, sent=None
        )
        if wishes.target_account is not None:
            self._verifier = chap.Verifier(algorithm, self._random)
            pairs += self._verifier.pairs()
        return pairs

    def _check_target(self, said: dict[str, str]) -> None:
        if self._verifier is not None:
            assert self._wishes.target_account is not None
            self._verifier.check(said.get("CHAP_N", ""), said.get("CHAP_R", ""), self._wishes.target_account)

    def _enter(self, stage: int) -> tuple[bytes, bytes]:
        if stage not in NEXT_STAGES[self._stage]:
            raise LoginError("the target goes to a stage that can not follow")
        if stage == Stage.FULL_FEATURE:
            raise LoginError("the target leaves out the operational stage, which was asked for")
        self._stage = stage
        return self._request(self._offers(), transit=True)

    def _operate(self, response: LoginResponse, pairs: text.Pairs) -> tuple[bytes, bytes] | None:
        replies = self._learn(pairs)
        if response.transit:
            if response.nsg != Stage.FULL_FEATURE:
                raise LoginError("the target goes to a stage that can not follow")
            self.identity.tsih = response.tsih
            self._parameters.finish()
            self.done = True
            return None
        return self._request(replies, transit=True)

    def _learn(self, pairs: text.Pairs) -> text.Pairs:
        """Take over answers and declarations; return answers to what the target offers itself."""
        replies: text.Pairs = []
        try:
            for key, value in pairs:
                if key in SECURITY_KEYS:
                    continue
                row = negotiation.KEYS.get(key)
                if key in self._offered or (row is not None and row.kind is negotiation.Kind.DECLARED):
                    negotiation.accept(self._parameters, key, value)
                    continue
                reply = negotiation.answer(
                    self._parameters,
                    key,
                    value,
                    phase=negotiation.Phase.LOGIN,
                    sender=negotiation.Side.TARGET,
                )
                replies.append((key, reply or text.NOT_UNDERSTOOD))
        except ProtocolError as error:
            raise LoginError(str(error)) from None
        return replies

    def _offers(self) -> text.Pairs:
        keys = _OFFERED_IN_DISCOVERY if self.identity.discovery else _OFFERED
        self._offered.update(keys)
        ours = self._parameters.wish("MaxRecvDataSegmentLength")
        self._parameters.values["MaxRecvDataSegmentLength"] = ours
        pairs = [(key, negotiation.spell(self._parameters.wish(key))) for key in keys]
        return [*pairs, ("MaxRecvDataSegmentLength", str(ours))]

    def _request(self, pairs: text.Pairs, *, transit: bool = False) -> tuple[bytes, bytes]:
        body = text.encode(pairs)
        follows = Stage.OPERATIONAL if self._stage == Stage.SECURITY else Stage.FULL_FEATURE
        request = LoginRequest(
            immediate=True,
            transit=transit,
            csg=self._stage,
            nsg=follows if transit else 0,
            isid=self.identity.isid,
            initiator_task_tag=0,
            cmd_sn=self.cmd_sn,
            exp_stat_sn=self.exp_stat_sn,
        )
        return with_lengths(request.encode(), len(body)), body

    def _refusal(self, response: LoginResponse, data: memoryview | bytes) -> LoginError:
        if response.status >> 8 == 1:
            try:
                self.moved_to = dict(text.decode(data)).get("TargetAddress", "")
            except ProtocolError:
                self.moved_to = ""
        try:
            status = LoginStatus(response.status)
        except ValueError:
            return LoginError(f"the target refused the login with status {response.status:#06x}")
        self.refused_with = status
        said = status.name.replace("_", " ").lower()
        if status is LoginStatus.AUTHENTICATION_FAILURE:
            return AuthenticationError(f"the target refused the login: {said}")
        return LoginError(f"the target refused the login: {said}", status)
