set -e
python3 -c "
import time, numpy as np, npcbnet
from npcbnet.data import digits
from npcbnet.nets import branchynet_lenet
m = branchynet_lenet((1,28,28), tuple('0123456789'), np.random.default_rng(0), 1.0)
x,_ = digits.generate(20, seed=0)
t=time.time(); print(m.predict(x), m.predict(x[0]), time.time()-t)
import platform; print(platform.machine())
"
time python3 -m pytest -m "not slow" tests/test_nets.py tests/test_exits.py tests/test_training.py tests/test_modelfile.py
