"""Lightning's Trainer with a plan: one callback weights the losses, the task stays as it is.

Run it with: torchrun --nproc-per-node 2 with_lightning.py
"""

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch.utils.data import TensorDataset

import hetlib
from hetlib.integrations.lightning import Balanced


class Task(pl.LightningModule):
    """A classifier; nothing in it knows of shares."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 32, 3),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(32, 10),
        )

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        """Return the loss."""
        images, labels = batch
        # the mean over this replica's samples, as ever
        return F.cross_entropy(self.network(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.SGD(self.parameters(), lr=0.05)


torch.manual_seed(0)
data = TensorDataset(torch.randn(480, 3, 32, 32), torch.randint(0, 10, (480,)))
task = Task()
trainer = pl.Trainer(
    accelerator="cpu",
    devices=2,
    strategy="ddp",
    max_epochs=1,
    callbacks=[Balanced()],
    # the loader deals the samples itself
    use_distributed_sampler=False,
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
)
trainer.fit(task, hetlib.BalancedLoader(data, [90, 38], seed=0))

hetlib.check_weights(task)
print(f"replica {trainer.global_rank}: weights equal on all replicas", flush=True)
