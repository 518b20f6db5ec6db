"""One documented tree of settings per command, without PyTorch.

Every value is given as `key=value` (`lora.rank=16`); `resolve.resolve` checks it and names the nearest valid key.
"""
