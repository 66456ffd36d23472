"""The target's side of a login: one request in, one response out, until there is a session or an end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from midlayer.errors import UsageError
from midlayer.iscsi import chap, negotiation, text
from midlayer.iscsi.chap import Credentials
from midlayer.iscsi.codes import LoginStatus, Stage
from midlayer.iscsi.errors import AuthenticationError, LoginError, ProtocolError
from midlayer.iscsi.login import LOGIN_DATA_BYTES, MAX_EXCHANGES, NEXT_STAGES, SECURITY_KEYS, Identity
from midlayer.iscsi.names import check_name
from midlayer.iscsi.negotiation import Parameters, Phase, Side
from midlayer.iscsi.pdu import LoginRequest, LoginResponse, with_lengths
from midlayer.iscsi.serial import add


@dataclass(frozen=True, slots=True)
class Access:
    """What a target asks of an initiator that may see it.

    Attributes:
        accounts: Names and secrets that it may come with; none if it need not say.
        ours: With what we answer a challenge of the initiator; None if we can't.
        portal_group_tag: Of the portal that it came through.
        alias: A text for people.
    """

    accounts: tuple[Credentials, ...] = ()
    ours: Credentials | None = None
    portal_group_tag: int = 1
    alias: str = ""


class TargetPolicy(Protocol):
    """Who may come in, and what there is; the front end has it."""

    def admit(self, identity: Identity) -> Access:
        """Say what is asked of an initiator; raises LoginError to turn it away."""

    def begin(self, identity: Identity) -> int:
        """Begin a session and return its TSIH; raises LoginError."""

    def send_targets(self, identity: Identity, name: str) -> text.Pairs:
        """Return TargetName and TargetAddress of one target, or with ``All`` of those that it may see."""


class TargetLogin:
    """One login.

    Args:
        policy: Who may come in.
        parameters: Where the outcome of the negotiation goes.
        random: Gives random bytes, for challenges.
        window: Commands that the initiator may have on its way.

    Attributes:
        identity: Who is there, as far as it was told.
        done: True once the session has begun.
        failure: Why it has not, if it never will.
        stat_sn, exp_cmd_sn, max_cmd_sn: As the responses had them.
    """

    def __init__(
        self, policy: TargetPolicy, parameters: Parameters, random: Callable[[int], bytes], window: int
    ) -> None:
        self.identity = Identity()
        self.done = False
        self.failure: LoginError | None = None
        self.stat_sn = self.exp_cmd_sn = self.max_cmd_sn = 0
        self._policy = policy
        self._parameters = parameters
        self._random = random
        self._window = window
        self._text = text.TextGatherer()
        self._first: LoginRequest | None = None
        self._access: Access | None = None
        self._stage: int = Stage.SECURITY
        self._exchanges = 0
        self._authenticated = False
        self._method = ""
        self._verifier: chap.Verifier | None = None
        self._declared = False

    def handle(self, header: bytes, data: memoryview | bytes) -> tuple[bytes, bytes]:
        """Take one login request; return header and data of the response."""
        request = LoginRequest.decode(header)
        try:
            return self._handle(request, data)
        except LoginError as error:
            self.failure = error
        except ProtocolError as error:
            self.failure = LoginError(str(error))
        return self._response(request, status=self.failure.status), b""

    def _handle(self, request: LoginRequest, data: memoryview | bytes) -> tuple[bytes, bytes]:
        self._check_order(request)
        self._text.add(data)
        if request.continues:
            if request.transit:
                raise LoginError("a login request with both T and C")
            return self._response(request), b""
        pairs = self._text.take()
        if self._access is None:
            self._introduce(request, pairs)
        replies = self._answers(pairs)
        granted = request.transit and self._may_leave(request)
        self._declare(replies)
        body = text.encode(replies)
        if len(body) > LOGIN_DATA_BYTES:
            raise LoginError("more keys than one login response can answer")
        if granted:
            self._stage = request.nsg
            self.done = request.nsg == Stage.FULL_FEATURE
            if self.done:
                self._parameters.finish()
                self.identity.tsih = self._policy.begin(self.identity)
        return self._response(request, transit=granted, data_bytes=len(body)), body

    def _check_order(self, request: LoginRequest) -> None:
        """Hold a request against those before it."""
        first = self._first
        self._exchanges += 1
        if first is None:
            self._first = request
            self.stat_sn = request.exp_stat_sn
            self.exp_cmd_sn = request.cmd_sn
            self.max_cmd_sn = add(request.cmd_sn, self._window - 1)
            self._stage = request.csg
            self.identity.isid, self.identity.cid = request.isid, request.cid
            if request.version_min > 0:
                raise LoginError("no version of iSCSI but 0 is known", LoginStatus.UNSUPPORTED_VERSION)
            if request.csg not in NEXT_STAGES:
                raise LoginError("a login begins in the security or the operational stage")
            if request.tsih:
                raise LoginError(
                    "no session can be continued or take another connection",
                    LoginStatus.SESSION_DOES_NOT_EXIST,
                )
        elif (request.isid, request.tsih, request.cid, request.initiator_task_tag) != (
            first.isid,
            first.tsih,
            first.cid,
            first.initiator_task_tag,
        ):
            raise LoginError("ISID, TSIH, CID or task tag changed during the login")
        if request.csg != self._stage or self._exchanges > MAX_EXCHANGES:
            raise LoginError("a login request for another stage, or too many of them")

    def _introduce(self, request: LoginRequest, pairs: text.Pairs) -> None:
        """Learn who wants to meet whom, and ask the policy."""
        said = dict(pairs)
        identity = self.identity
        kind = said.get("SessionType", "Normal")
        if kind not in ("Normal", "Discovery"):
            raise LoginError(
                "SessionType is neither Normal nor Discovery", LoginStatus.SESSION_TYPE_NOT_SUPPORTED
            )
        identity.discovery = kind == "Discovery"
        if "InitiatorName" not in said or ("TargetName" not in said and not identity.discovery):
            raise LoginError(
                "the first request needs InitiatorName and TargetName", LoginStatus.MISSING_PARAMETER
            )
        try:
            identity.initiator_name = check_name(said["InitiatorName"])
            identity.target_name = "" if identity.discovery else check_name(said["TargetName"])
        except UsageError:
            raise LoginError("a name that is no iSCSI name") from None
        identity.alias = said.get("InitiatorAlias", "")[:255]
        self._access = self._policy.admit(identity)
        self._authenticated = not self._access.accounts
        if not self._authenticated and request.csg != Stage.SECURITY:
            raise AuthenticationError("the initiator left out the security stage; CHAP is asked for")

    def _answers(self, pairs: text.Pairs) -> text.Pairs:
        """Return the answers to the keys of one request."""
        phase = Phase.INITIAL | Phase.LOGIN if self._exchanges == 1 or not self._declared else Phase.LOGIN
        security = {key: value for key, value in pairs if key in SECURITY_KEYS}
        replies = self._secure(security) if security else []
        for key, value in pairs:
            if key in SECURITY_KEYS:
                continue
            reply = negotiation.answer(
                self._parameters,
                key,
                value,
                phase=phase,
                sender=Side.INITIATOR,
                discovery=self.identity.discovery,
            )
            if reply is not None:
                replies.append((key, reply))
        return replies

    def _secure(self, said: dict[str, str]) -> text.Pairs:
        """Take one step of the security negotiation."""
        assert self._access is not None
        if self._stage != Stage.SECURITY:
            raise LoginError("keys of the security stage in another one")
        if "AuthMethod" in said:
            return [("AuthMethod", self._choose_method(said["AuthMethod"].split(",")))]
        if self._method != "CHAP":
            raise AuthenticationError("CHAP without AuthMethod")
        if "CHAP_A" in said:
            if self._verifier is not None:
                raise AuthenticationError("CHAP_A comes twice")
            algorithm = chap.choose_algorithm(said["CHAP_A"])
            self._verifier = chap.Verifier(algorithm, self._random)
            return [("CHAP_A", str(algorithm)), *self._verifier.pairs()]
        return self._check_response(said)

    def _choose_method(self, offered: list[str]) -> str:
        assert self._access is not None
        if self._method:
            raise AuthenticationError("AuthMethod comes twice")
        wanted = "CHAP" if self._access.accounts else text.NONE
        if wanted not in offered:
            raise AuthenticationError(f"the initiator does not offer AuthMethod={wanted}")
        self._method = wanted
        return wanted

    def _check_response(self, said: dict[str, str]) -> text.Pairs:
        """Verify CHAP_N and CHAP_R, and answer the initiator's challenge if it has one."""
        access, verifier = self._access, self._verifier
        assert access is not None
        if verifier is None or self._authenticated or not {"CHAP_N", "CHAP_R"} <= said.keys():
            raise AuthenticationError("CHAP steps in the wrong order")
        name = said["CHAP_N"]
        account = next((one for one in access.accounts if one.name == name), access.accounts[0])
        verifier.check(name, said["CHAP_R"], account)
        replies: text.Pairs = []
        if "CHAP_C" in said or "CHAP_I" in said:
            if access.ours is None:
                raise AuthenticationError(
                    "the initiator wants to be sure of us, and no secret is set for that"
                )
            replies = chap.answer_challenge(
                verifier.algorithm,
                said.get("CHAP_I", ""),
                said.get("CHAP_C", ""),
                access.ours,
                sent=verifier,
            )
        self._authenticated = True
        return replies

    def _may_leave(self, request: LoginRequest) -> bool:
        """Say whether the stage that the initiator asks for may begin."""
        if request.nsg not in NEXT_STAGES[self._stage]:
            raise LoginError("this stage can not follow that one")
        if self._authenticated:
            return True
        if not self._method:
            raise AuthenticationError("the initiator left the security stage without CHAP")
        return False

    def _declare(self, replies: text.Pairs) -> None:
        """Add what the target tells of itself: once its group and alias, once its receive length."""
        assert self._access is not None
        first, self._declared = not self._declared, True
        if first and not self.identity.discovery:
            replies.append(("TargetPortalGroupTag", str(self._access.portal_group_tag)))
            if self._access.alias:
                replies.append(("TargetAlias", self._access.alias))
        if self._stage == Stage.OPERATIONAL and "MaxRecvDataSegmentLength" not in self._parameters.values:
            ours = self._parameters.wish("MaxRecvDataSegmentLength")
            self._parameters.values["MaxRecvDataSegmentLength"] = ours
            replies.append(("MaxRecvDataSegmentLength", str(ours)))

    def _response(
        self,
        request: LoginRequest,
        *,
        status: int = LoginStatus.SUCCESS,
        transit: bool = False,
        data_bytes: int = 0,
    ) -> bytes:
        response = LoginResponse(
            transit=transit,
            csg=request.csg,
            nsg=request.nsg if transit else 0,
            isid=request.isid,
            tsih=self.identity.tsih,
            initiator_task_tag=request.initiator_task_tag,
            stat_sn=self.stat_sn,
            exp_cmd_sn=self.exp_cmd_sn,
            max_cmd_sn=self.max_cmd_sn,
            status=status,
        )
        if status == LoginStatus.SUCCESS:
            self.stat_sn = add(self.stat_sn, 1)
        return with_lengths(response.encode(), data_bytes)
