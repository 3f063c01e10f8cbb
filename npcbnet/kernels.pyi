# For editors only: in a checkout the modules lie in ../kernels, in an installed package in npcbnet/kernels.
from kernels import _jit as _jit
from kernels import active as active
from kernels import adam as adam
from kernels import conv as conv
from kernels import conv_weights as conv_weights
from kernels import dense as dense
from kernels import depthwise as depthwise
from kernels import pool as pool
from kernels import softmax as softmax
from kernels import sums as sums
from kernels import winograd as winograd
from kernels import winograd_square as winograd_square
from kernels import winograd_weights as winograd_weights
