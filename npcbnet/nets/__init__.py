"""The networks of the CBNet paper and larger ones, and the closed table of kinds that a model file may hold."""
from npcbnet.nets.alexnet import alexnet
from npcbnet.nets.balexnet import balexnet
from npcbnet.nets.branchynet import BranchyNet, branchynet_lenet, lightweight
from npcbnet.nets.caenet import caenet
from npcbnet.nets.cbnet import CBNet
from npcbnet.nets.classifier import Classifier, truncate
from npcbnet.nets.convconverter import ConvConverter, ConvConverterConfig
from npcbnet.nets.converter import TABLE_I, Converter, ConverterConfig
from npcbnet.nets.lenet import lenet
from npcbnet.nets.mobilenetv2 import mobilenetv2
from npcbnet.nets.model import Explanation, Model
from npcbnet.nets.multiexit import MultiExit, cut_at_exit
from npcbnet.nets.resnet import resnet18, resnet32, resnet50
from npcbnet.nets.vgg16 import vgg16

__all__ = ["BranchyNet", "CBNet", "Classifier", "ConvConverter", "ConvConverterConfig", "Converter", "ConverterConfig",
           "Explanation", "KINDS", "Model", "MultiExit", "TABLE_I", "alexnet", "balexnet", "branchynet_lenet", "caenet",
           "cut_at_exit", "lenet", "lightweight", "mobilenetv2", "resnet18", "resnet32", "resnet50", "truncate",
           "vgg16"]

KINDS = {model.kind: model for model in (BranchyNet, CBNet, Classifier, MultiExit)}
