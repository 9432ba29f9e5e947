"""Losses: one idea, one file, each a function and its module. Source first, target second, options by keyword."""

from dalib.losses.adversarial import DomainAdversarialLoss, domain_adversarial_loss
from dalib.losses.coral import CORALLoss, coral_loss
from dalib.losses.discriminator import DomainDiscriminator
from dalib.losses.entropy import EntropyLoss, entropy_loss
from dalib.losses.mcc import MCCLoss, mcc_loss
from dalib.losses.mmd import MMDLoss, mmd_loss

__all__ = [
    "CORALLoss",
    "DomainAdversarialLoss",
    "DomainDiscriminator",
    "EntropyLoss",
    "MCCLoss",
    "MMDLoss",
    "coral_loss",
    "domain_adversarial_loss",
    "entropy_loss",
    "mcc_loss",
    "mmd_loss",
]
