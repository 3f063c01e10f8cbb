"""Published data sets for the tests that want real images."""
import pytest

from npcbnet import data
from npcbnet.errors import DataError


def real(name):
    """data.load(name), or a skip where its files are neither here nor to be had. Files that are here must load."""
    try:
        return data.load(name)
    except DataError as error:
        if not str(error).startswith(f"{name}: missing "):
            raise
        pytest.skip(str(error))
