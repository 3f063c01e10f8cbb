"""What benchmarks.peers compares npcbnet with: one small file for each runtime.

    models.py         the models and what they are fed with
    graph.py          a model as plain steps; everything below is made from these, with the same weights
    torch_net.py      -> PyTorch: eager, jit, inductor
    onnx_model.py     -> ONNX, which onnx_runtimes.py gives to ONNX Runtime and to OpenVINO
    tflite_model.py   -> .tflite, with tflite_operators.py and tflite_file.py, which litert.py runs
    npcbnet_itself.py npcbnet.runtime, and the loops of kernels/ layer by layer
    runtimes.py       the table of all of them; a BranchyNet's two parts
    worker.py         a runtime in a process of its own
    turns.py          the runtimes taking turns: outputs compared, then times
    table.py          the rows as JSON and as Markdown
"""
