"""Policy: which devices may be used, and whether they still are who they were."""

from midlayer.upper.policy.identity import Identity, ask, difference, recorded
from midlayer.upper.policy.inventory import InventoryKeeper
from midlayer.upper.policy.keeper import IdentityKeeper, Verdict, Verification
from midlayer.upper.policy.quarantine import Quarantine, Quarantined
from midlayer.upper.policy.rule import QuarantineAction, QuarantineRule
from midlayer.upper.policy.worker import Inline, Worker

__all__ = [
    "Identity",
    "IdentityKeeper",
    "Inline",
    "InventoryKeeper",
    "Quarantine",
    "QuarantineAction",
    "QuarantineRule",
    "Quarantined",
    "Verdict",
    "Verification",
    "Worker",
    "ask",
    "difference",
    "recorded",
]
