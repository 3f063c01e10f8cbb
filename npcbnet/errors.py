"""Everything npcbnet raises on purpose. One root class, so that a script can catch all of it in one line.

Each message is one line that names the file, field or shape and says what to do about it.
"""


class NpcbnetError(Exception):
    """Root of all errors of this package."""


class UsageError(NpcbnetError):
    """An option or argument that cannot be used as given."""


class DataError(NpcbnetError):
    """A data set, image or label file that is missing, damaged or not what it claims to be."""


class ShapeError(NpcbnetError):
    """An array, image or network whose shape does not fit."""


class ModelFileError(NpcbnetError):
    """A model file that is missing, damaged, hostile or from a newer version."""


class TrainingError(NpcbnetError):
    """Training that cannot go on: NaN in the loss, a checkpoint of another run."""


class EnergyError(NpcbnetError):
    """A power meter, its log, or a power model that cannot be used as it is, or a run too short for it."""
