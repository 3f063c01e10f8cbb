"""npcbnet: what its runtime compiles a model to, and the readable loops of `kernels/`, called layer by layer."""
from benchmarks.peer_runtimes.errors import PeerError


def answers(model):
    """The method that a model answers with: probabilities (N, O), or pictures (N, C, H, W) of a converter."""
    return model.predict_proba if hasattr(model, "predict_proba") else model.convert


def compiled(threads):
    """program(model, images) -> function of x, by npcbnet.runtime."""
    from npcbnet import runtime

    def program(model, images):
        predictor = runtime.compile(model, threads=threads)
        if isinstance(predictor, runtime.Layerwise):
            raise PeerError("there is no engine on this machine; --runtimes layers measures the layers")
        return predictor.predict_proba if hasattr(model, "predict_proba") else predictor.convert

    return program


def layers(threads):
    """program(model, images) -> function of x, the model itself."""
    return lambda model, images: answers(model)
