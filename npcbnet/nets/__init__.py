"""The networks of the CBNet paper and larger ones, and the closed table of kinds that a model file may hold."""
from npcbnet.nets.alexnet import alexnet
from npcbnet.nets.branchynet import BranchyNet, branchynet_lenet, lightweight
from npcbnet.nets.cbnet import CBNet
from npcbnet.nets.classifier import Classifier, truncate
from npcbnet.nets.converter import TABLE_I, Converter, ConverterConfig
from npcbnet.nets.lenet import lenet
from npcbnet.nets.mobilenetv2 import mobilenetv2
from npcbnet.nets.model import Explanation, Model
from npcbnet.nets.resnet import resnet18, resnet32, resnet50
from npcbnet.nets.vgg16 import vgg16

__all__ = ["BranchyNet", "CBNet", "Classifier", "Converter", "ConverterConfig", "Explanation", "KINDS", "Model",
           "TABLE_I", "alexnet", "branchynet_lenet", "lenet", "lightweight", "mobilenetv2", "resnet18", "resnet32",
           "resnet50", "truncate", "vgg16"]

KINDS = {model.kind: model for model in (BranchyNet, CBNet, Classifier)}
