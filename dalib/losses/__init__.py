"""Losses: one idea, one file, each a function and its module. Source first, target second, options by keyword."""

from dalib.losses.adversarial import DomainAdversarialLoss, domain_adversarial_loss
from dalib.losses.block_mmd import BlockMMDLoss, block_mmd_loss
from dalib.losses.coral import CORALLoss, coral_loss
from dalib.losses.discriminator import DomainDiscriminator
from dalib.losses.entropy import EntropyLoss, entropy_loss
from dalib.losses.linear_time_mmd import LinearTimeMMDLoss, linear_time_mmd_loss
from dalib.losses.mcc import MCCLoss, mcc_loss
from dalib.losses.mean import MeanLoss, mean_loss
from dalib.losses.mmd import MMDLoss, mmd_loss
from dalib.losses.two_sample import MMDTest, mmd_test
from dalib.losses.unbiased_mmd import UnbiasedMMDLoss, unbiased_mmd_loss

__all__ = [
    "BlockMMDLoss",
    "CORALLoss",
    "DomainAdversarialLoss",
    "DomainDiscriminator",
    "EntropyLoss",
    "LinearTimeMMDLoss",
    "MCCLoss",
    "MMDLoss",
    "MMDTest",
    "MeanLoss",
    "UnbiasedMMDLoss",
    "block_mmd_loss",
    "coral_loss",
    "domain_adversarial_loss",
    "entropy_loss",
    "linear_time_mmd_loss",
    "mcc_loss",
    "mean_loss",
    "mmd_loss",
    "mmd_test",
    "unbiased_mmd_loss",
]
