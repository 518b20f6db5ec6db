"""Low-rank adapters on linear and convolution layers (Hu et al., arXiv 2106.09685), by PEFT.

A layer with weight W (out, in, ...) answers with W + alpha / rank · B A, A (rank, in, ...) and B (out, rank, 1 ...).
The network keeps its class and its interface; `sam3dseg.adapters` merges what is trained without PEFT.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ..configs.fit import LoraConfig

ADAPTER = "default"  # PEFT's name for the one adapter
# Layers of the transformers whose weight is read as a matrix: an adapter around them would never be run.
READ_AS_MATRIX = ("image_encoder.patch_embed.proj", "image_encoder.neck.0", "prompt_encoder.mask_downscaling.6")
NORMS = (nn.GroupNorm, nn.LayerNorm)


def adaptable_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Every layer that an adapter can be put around, by name."""
    return {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv3d) and name not in READ_AS_MATRIX
    }


def chosen_layers(network: nn.Module, config: LoraConfig) -> list[str]:
    """Names of the layers to adapt: those that end in one of `config.targets`; without targets every one that pays.

    An adapter pays where it has less than half the numbers of its layer; elsewhere it would only cost time.
    Raises ValueError for a target that names no layer.
    """
    layers = adaptable_layers(network)
    if not config.targets:
        return [name for name, layer in layers.items() if _pays(layer, config.rank)]
    for target in config.targets:
        if not any(_ends_in(name, target) for name in layers):
            endings = sorted({name.rpartition(".")[2] for name in layers if not name.rpartition(".")[2].isdigit()})
            raise ValueError(
                f"lora.targets: no linear or convolution layer of this network ends in {target!r}; expected whole "
                f"names or last parts such as {', '.join(endings)}"
            )
    return [name for name in layers if any(_ends_in(name, target) for target in config.targets)]


def add_adapters(network: nn.Module, config: LoraConfig, *, frozen: tuple[str, ...] = ()) -> None:
    """Put adapters into the network, in place; from then on only they, and with `config.norms` what is small, train.

    frozen: beginnings of the names of layers that get none.  Small are the normalisation layers, the biases of adapted
    layers, and layers where no adapter pays.
    Raises ValueError for a target that names no layer, and when all that are named are frozen.
    """
    from peft import LoraConfig as PeftConfig
    from peft import inject_adapter_in_model

    names = [name for name in chosen_layers(network, config) if not name.startswith(frozen)]
    if not names:
        raise ValueError(f"lora.targets={config.targets} names nothing but what stays as it is: {', '.join(frozen)}")
    small = [] if config.targets else [layer for name, layer in adaptable_layers(network).items() if name not in names]
    settings = PeftConfig(r=config.rank, lora_alpha=config.alpha, target_modules=names, lora_dropout=0.0, bias="none")
    inject_adapter_in_model(settings, network, ADAPTER)  # type: ignore[arg-type]
    network.requires_grad_(False)
    for name, value in network.named_parameters():
        adapted_bias = config.norms and name.endswith(".base_layer.bias")
        value.requires_grad_(".lora_" in name or adapted_bias)
    if config.norms:
        for layer in (*small, *(module for module in network.modules() if isinstance(module, NORMS))):
            layer.requires_grad_(True)


def plain_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of an adapted network under the names of an adapter file.

    `x.base_layer.weight` -> `x.weight`, `x.lora_A.default.weight` -> `x.lora_A.weight`; others stay.
    """
    return {name.replace(".base_layer.", ".").replace(f".{ADAPTER}.", "."): value for name, value in state.items()}


def _ends_in(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _pays(layer: nn.Module, rank: int) -> bool:
    weight: Tensor = layer.weight
    outputs, inputs = weight.shape[0], weight[0].numel()
    return 2 * rank * (outputs + inputs) < outputs * inputs
