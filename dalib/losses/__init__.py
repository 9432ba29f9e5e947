"""Losses: one idea, one file, each a function and its module. Source first, target second, options by keyword."""

from dalib.losses.adversarial import DomainAdversarialLoss, domain_adversarial_loss
from dalib.losses.adversarial_map import AdversarialMapLoss
from dalib.losses.batch_spectral import BatchSpectralLoss, batch_spectral_loss
from dalib.losses.block_mmd import BlockMMDLoss, block_mmd_loss
from dalib.losses.class_adversarial import class_adversarial_loss
from dalib.losses.class_conditional_mmd import ClassConditionalMMDLoss, class_conditional_mmd_loss
from dalib.losses.class_discriminators import ClassDiscriminators
from dalib.losses.classifier_discrepancy import ClassifierDiscrepancyLoss, classifier_discrepancy_loss
from dalib.losses.cmd import CMDLoss, cmd_loss
from dalib.losses.contrastive import ContrastiveDomainLoss, contrastive_domain_loss
from dalib.losses.coral import CORALLoss, coral_loss
from dalib.losses.discriminator import DomainDiscriminator
from dalib.losses.energy import EnergyLoss, energy_loss
from dalib.losses.entropy import EntropyLoss, entropy_loss
from dalib.losses.entropy_conditioned import EntropyConditionedLoss
from dalib.losses.exact_transport import ExactTransportLoss, exact_transport_loss
from dalib.losses.homm import HoMMLoss, homm_loss
from dalib.losses.joint_mmd import JointMMDLoss, joint_mmd_loss
from dalib.losses.linear_time_mmd import LinearTimeMMDLoss, linear_time_mmd_loss
from dalib.losses.local_mmd import LocalMMDLoss, local_mmd_loss
from dalib.losses.log_coral import LogCORALLoss, log_coral_loss
from dalib.losses.margin_disparity import MarginDisparityLoss, margin_disparity_loss
from dalib.losses.max_sliced_wasserstein import MaxSlicedWassersteinLoss, max_sliced_wasserstein_loss
from dalib.losses.mcc import MCCLoss, mcc_loss
from dalib.losses.mean import MeanLoss, mean_loss
from dalib.losses.mmd import MMDLoss, mmd_loss
from dalib.losses.nuclear_wasserstein import NuclearWassersteinLoss, nuclear_wasserstein_loss
from dalib.losses.one_vs_all import one_vs_all_loss, open_entropy_loss
from dalib.losses.sinkhorn import SinkhornLoss, sinkhorn_loss
from dalib.losses.sliced_discrepancy import SlicedDiscrepancyLoss, sliced_discrepancy_loss
from dalib.losses.sliced_wasserstein import SlicedWassersteinLoss, sliced_wasserstein_loss
from dalib.losses.two_sample import MMDTest, mmd_test
from dalib.losses.unbiased_mmd import UnbiasedMMDLoss, unbiased_mmd_loss
from dalib.losses.unknown_boundary import UnknownBoundaryLoss, unknown_boundary_loss
from dalib.losses.wasserstein_critic import WassersteinCriticLoss

__all__ = [
    "AdversarialMapLoss",
    "BatchSpectralLoss",
    "BlockMMDLoss",
    "CMDLoss",
    "CORALLoss",
    "ClassConditionalMMDLoss",
    "ClassDiscriminators",
    "ClassifierDiscrepancyLoss",
    "ContrastiveDomainLoss",
    "DomainAdversarialLoss",
    "DomainDiscriminator",
    "EnergyLoss",
    "EntropyConditionedLoss",
    "EntropyLoss",
    "ExactTransportLoss",
    "HoMMLoss",
    "JointMMDLoss",
    "LinearTimeMMDLoss",
    "LocalMMDLoss",
    "LogCORALLoss",
    "MCCLoss",
    "MMDLoss",
    "MMDTest",
    "MarginDisparityLoss",
    "MaxSlicedWassersteinLoss",
    "MeanLoss",
    "NuclearWassersteinLoss",
    "SinkhornLoss",
    "SlicedDiscrepancyLoss",
    "SlicedWassersteinLoss",
    "UnbiasedMMDLoss",
    "UnknownBoundaryLoss",
    "WassersteinCriticLoss",
    "batch_spectral_loss",
    "block_mmd_loss",
    "class_adversarial_loss",
    "class_conditional_mmd_loss",
    "classifier_discrepancy_loss",
    "cmd_loss",
    "contrastive_domain_loss",
    "coral_loss",
    "domain_adversarial_loss",
    "energy_loss",
    "entropy_loss",
    "exact_transport_loss",
    "homm_loss",
    "joint_mmd_loss",
    "linear_time_mmd_loss",
    "local_mmd_loss",
    "log_coral_loss",
    "margin_disparity_loss",
    "max_sliced_wasserstein_loss",
    "mcc_loss",
    "mean_loss",
    "mmd_loss",
    "mmd_test",
    "nuclear_wasserstein_loss",
    "one_vs_all_loss",
    "open_entropy_loss",
    "sinkhorn_loss",
    "sliced_discrepancy_loss",
    "sliced_wasserstein_loss",
    "unbiased_mmd_loss",
    "unknown_boundary_loss",
]
