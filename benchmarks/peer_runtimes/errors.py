"""The one error of the comparison."""
from npcbnet.errors import NpcbnetError


class PeerError(NpcbnetError):
    """A runtime that is missing, cannot run a model, or gives another answer."""
