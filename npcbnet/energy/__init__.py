"""The energy of an image: modelled from how busy the processors are, measured where there is a meter, or estimated.

    from npcbnet import energy
    result = energy.measure(lambda: predictor.predict(images), len(images))       # the best meter this machine has
    result.energy_mj, result.kind, result.meter, result.resolution, result.invalid
    energy.from_log("usb.csv", "um34c", [("cbnet", result.begin, result.end, result.images)])
    energy.estimated("pi4", latency_ms=1.9, utilisation=0.25)

Power models are in `models`, meters in `rapl` and `pmic`, readers of other instruments' logs in `um34c`, `tegrastats`
and `nvidia_smi`; each meter and each kind of log is one file.
"""
from npcbnet.energy.join import from_log
from npcbnet.energy.models import MODELS, PowerModel, estimated, estimates, power_model
from npcbnet.energy.result import Energy
from npcbnet.energy.run import at_hand, measure

__all__ = ["MODELS", "Energy", "PowerModel", "at_hand", "estimated", "estimates", "from_log", "measure", "power_model"]
