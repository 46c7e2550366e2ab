"""Hugging Face's Trainer with a plan, and a vision transformer of the library.

Run it with: torchrun --nproc-per-node 2 with_huggingface.py
"""

import tempfile

import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

import hetlib
from hetlib.integrations.transformers import BalancedTrainer


class Scenes(Dataset[dict[str, torch.Tensor]]):
    """Random images, by the names that the model takes them."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.images = torch.randn(96, 3, 16, 16)
        self.labels = torch.randint(0, 4, (96,))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.images[index], "labels": self.labels[index]}


class PlannedTrainer(BalancedTrainer, Trainer):
    """A Trainer whose samples are dealt by a plan."""


torch.manual_seed(0)
config = ViTConfig(
    image_size=16,
    patch_size=8,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=64,
    num_labels=4,
)
model = ViTForImageClassification(config)
arguments = TrainingArguments(
    tempfile.gettempdir(),
    num_train_epochs=1,
    save_strategy="no",
    report_to=[],
    disable_tqdm=True,
    use_cpu=True,
)
trainer = PlannedTrainer(model, arguments, train_dataset=Scenes(), plan=[24, 8])
trainer.train()

hetlib.check_weights(model)
print(f"replica {arguments.process_index}: weights equal on all replicas", flush=True)
