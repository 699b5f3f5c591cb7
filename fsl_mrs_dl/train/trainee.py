"""A network while it is trained: its steps, and what happens at the end of each epoch.

Everything that a resumed training needs is in `Trainee.state`, which is written at the end of every epoch and
nowhere else. A step depends on that state, the seed and its own number alone: scans, their order and dropout
are drawn anew from these in every epoch. So a resumed training gives the same weights as an uninterrupted one.
"""

import lightning
import torch
from torch.utils.data import DataLoader, IterableDataset

from ..errors import ModelError
from ..model.checkpoint import build_network
from .clock import Clock
from .feed import FreshFeed, KeptFeed, seed_of
from .validate import simulated_errors
from .work_folder import BEST, LAST

CHECK_STEPS = 200
"""Steps between two looks at whether the loss is a number: a look makes a GPU wait."""

VALIDATION_SCANS = 2048
"""Scans that the error after each epoch is measured on, or as many as the plan holds out where that is less."""


def untrained(config, options, basis):
    """An untrained network of a ModelConfig and its own configuration, told the basis set where it asks for one."""
    network = build_network(config, options)
    tell_basis(network, config, basis)
    return network


def tell_basis(network, config, basis):
    """Tell a network of a ModelConfig the basis set, where it asks for one."""
    if hasattr(network, "take_basis"):
        fids = basis.resample(config.input.dwell_s, config.input.points).fids
        network.take_basis(torch.as_tensor(fids), config)


class Steps(IterableDataset):
    """Numbers of the steps of the epoch at hand, counted over the whole training."""

    def __init__(self, trainee):
        self.trainee = trainee

    def __iter__(self):
        trainee = self.trainee
        first = step = trainee.step
        while step == first or not trainee.epoch_is_over(step - first):
            yield step
            step += 1


class Trainee(lightning.LightningModule):
    """A network with its optimiser, its errors and its checkpoints, for Lightning's trainer.

    Args:
        network: with `forward` and `loss`.
        config: ModelConfig.
        plan: TrainConfig.
        source: feed.Source of the scans.
        work: WorkFolder for checkpoints; None to keep the best weights in memory only.
        watchers: functions called with the history (a list of dicts, one an epoch) after each epoch.
        resume: continue from the folder's last checkpoint, if it has one.
        start_counts: the network's first weights are a trained model's: they are the best until an epoch is better.
            Patience and plateau compare epochs with epochs, as a rising learning rate first makes such weights worse.
    """

    def __init__(self, network, config, plan, source, work=None, watchers=(), resume=False, start_counts=False):
        super().__init__()
        self.network, self.config, self.plan, self.source = network, config, plan, source
        self.work, self.watchers, self.start_counts = work, watchers, start_counts
        self.epoch = self.step = self.since_best = self.since_halving = self.halvings = 0
        self.best_error, self.best_weights, self.history, self.last_loss = None, None, [], None
        self.start_error = None
        self.elapsed_s, self.finished = 0.0, False
        self._saved = work.read_state(LAST) if work is not None and resume else None
        if self._saved is not None:
            self._restore(self._saved)

    def _restore(self, saved):
        """Take everything but the optimiser from a checkpoint."""
        self.network.load_state_dict(saved["network"])
        self.best_weights = self.work.read_state(BEST)
        for name, value in saved["counts"].items():
            setattr(self, name, value)
        self.history = list(saved["history"])

    def state(self):
        """Everything that decides the rest of the training, as tensors, numbers, lists and dicts."""
        counts = ("epoch", "step", "since_best", "since_halving", "halvings", "best_error", "start_error")
        counts += ("elapsed_s", "finished")
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizers(use_pl_optimizer=False).state_dict(),
            "precision": self.trainer.precision_plugin.state_dict(),
            "counts": {name: getattr(self, name) for name in counts},
            "history": self.history,
        }

    def configure_optimizers(self):
        """Adam or AdamW; the learning rate is set at every step."""
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.plan.optimiser]
        # All weights at once; with mixed precision, Lightning could not clip the gradients.
        fused = self.device.type in ("cpu", "cuda") and self.plan.precision == "32-true"
        options = {"weight_decay": self.plan.weight_decay, "fused": fused}
        return kind(self.network.parameters(), self.plan.learning_rate, **options)

    def train_dataloader(self):
        """Numbers of steps; the scans are made on the device that trains."""
        return DataLoader(Steps(self), batch_size=None)

    def on_train_start(self):
        """Make the feeds on the device, and give the optimiser its state."""
        world, rank = self.trainer.world_size, self.trainer.global_rank
        agree = None if world == 1 else self.trainer.strategy.broadcast
        self.clock = Clock(self.elapsed_s, agree)
        scans = self.source.training(self.device)
        self.feed = self.make_feed(scans, rank, world)
        self.held_out = self.source.held_out(1, self.device)
        self.steps_per_epoch = self.plan.steps_per_epoch(world)
        self.sum_of_losses = torch.zeros((), device=self.device)
        if self._saved is not None:
            self.optimizers(use_pl_optimizer=False).load_state_dict(self._saved["optimizer"])
            self.trainer.precision_plugin.load_state_dict(self._saved["precision"])
            self._saved = None
        elif self.start_counts:
            self._take_start()

    def _take_start(self):
        """Measure the first weights and keep them as the best so far."""
        self.start_error = self.validation_error()
        if not self.start_error < float("inf"):
            raise ModelError(f"The error of the weights to start from is {self.start_error}: take another model.")
        self._take_weights()
        if self.work is not None and self.trainer.is_global_zero:
            self.work.write_state(BEST, self.best_weights)

    def _take_weights(self):
        """Take the weights at hand as the best."""
        self.best_weights = {name: one.detach().cpu().clone() for name, one in self.network.state_dict().items()}

    def make_feed(self, scans, rank, world):
        """What the steps are fed with."""
        if not self.plan.passes:
            return FreshFeed(scans, self.plan.batch, self.config, self.device, rank, world)
        with torch.no_grad():
            self.network.eval()
            shape = (1, self.config.input.channels, self.config.input.bins)
            with_clean = self.network(torch.zeros(shape, device=self.device)).clean is not None
            self.network.train()
        plan = self.plan
        return KeptFeed(
            scans, plan.number, plan.batch, self.config, self.device, plan.seed, with_clean, rank=rank, world=world
        )

    def done(self):
        """Share of the training that is over."""
        if self.plan.time_s:
            return self.clock.common_s() / self.plan.time_s
        return self.step / (self.plan.parts * self.steps_per_epoch)

    def epoch_is_over(self, steps):
        """Whether an epoch ends after so many steps."""
        if self.steps_per_epoch is not None and steps >= self.steps_per_epoch:
            return True
        if not self.plan.time_s:
            return False
        ends = 1.0 if self.plan.passes else (self.epoch + 1) / self.plan.parts
        return self.clock.common_s() >= ends * self.plan.time_s

    def on_train_epoch_start(self):
        """Begin the mean of the losses."""
        self.sum_of_losses.zero_()
        self.steps_summed = 0

    def training_step(self, step, _):
        """Loss of one batch of simulated scans."""
        if not self.steps_summed:
            # Dropout starts from seed and epoch; not earlier, as loaders draw numbers too, at times of their own.
            torch.manual_seed(seed_of(self.plan.seed, "epoch", self.epoch, self.trainer.global_rank))
        rate = self.plan.rate(self.done(), self.halvings)
        for group in self.optimizers(use_pl_optimizer=False).param_groups:
            group["lr"] = rate
        with torch.autocast(self.device.type, enabled=False):
            channels, truth = self.feed(step, self.epoch)
        loss = self.loss(channels, truth)
        self.last_loss = loss.detach()
        self.sum_of_losses += self.last_loss
        self.steps_summed += 1
        self.step = step + 1
        if step % CHECK_STEPS == 0:
            self._check_loss()
        return loss

    def loss(self, channels, truth):
        """The network's loss of simulated scans."""
        return self.network.loss(self.network(channels), truth, epoch=self.epoch)

    def _check_loss(self):
        """Stop where the loss is no number; weights that are none stay so, so that it is seen later as well."""
        if not torch.isfinite(self.last_loss):
            kept = "the checkpoint of the epoch before is whole" if self.epoch else "no epoch was finished"
            raise ModelError(
                f"The loss became {self.last_loss.item()} in epoch {self.epoch + 1}, at or before step {self.step}: "
                f"lower the learning rate; {kept}."
            )

    def on_train_epoch_end(self):
        """Measure the error, take the best weights, write the checkpoint, and say whether to go on."""
        self._check_loss()
        error = self.validation_error()
        loss = self._mean(self.sum_of_losses / self.steps_summed)
        if not error < float("inf"):
            raise ModelError(f"The error became {error} in epoch {self.epoch + 1}: lower the learning rate.")
        rate = self.optimizers(use_pl_optimizer=False).param_groups[0]["lr"]
        self.epoch += 1
        self.elapsed_s = self.clock.elapsed_s()
        scans = self.step * self.plan.batch * self.trainer.world_size
        row = {"epoch": self.epoch, "step": self.step, "scans": scans, "seconds": round(self.elapsed_s, 2)}
        self.history.append({**row, "loss": loss, "error": error, "learning_rate": rate})
        better = self._judge(error) and (self.start_error is None or error < self.start_error)
        over = self.plan.time_s and self.clock.common_s() >= self.plan.time_s
        over = self.trainer.strategy.broadcast(bool(over))
        self.finished = over or self.epoch >= self.plan.parts or self.since_best >= self.plan.patience
        if better:
            self._take_weights()
        self._keep(better)
        self.trainer.should_stop = self.finished

    def validation_error(self):
        """Mean absolute error on held-out scans, in full precision."""
        world, rank = self.trainer.world_size, self.trainer.global_rank
        batches = max(world, min(VALIDATION_SCANS, self.plan.held_out) // self.held_out.batch)
        self.network.eval()
        with torch.autocast(self.device.type, enabled=False):
            errors = simulated_errors(self.network, self.config.input, self.held_out, range(rank, batches, world))
        self.network.train()
        return self._mean(errors.mean().float().to(self.device))

    def _mean(self, value):
        """Mean of a number over all processes."""
        return float(self.trainer.strategy.reduce(value, reduce_op="mean"))

    def _judge(self, error):
        """Count the epochs without improvement; whether this one is the best."""
        better = self.best_error is None or error < self.best_error
        self.best_error = error if better else self.best_error
        self.since_best = 0 if better else self.since_best + 1
        self.since_halving = 0 if better else self.since_halving + 1
        if self.since_halving >= self.plan.plateau_epochs:
            self.since_halving, self.halvings = 0, self.halvings + 1
        return better

    def _keep(self, better):
        """Write the checkpoints, and tell the watchers."""
        if not self.trainer.is_global_zero:
            return
        if self.work is not None:
            if better:
                self.work.write_state(BEST, self.best_weights)
            self.work.write_state(LAST, self.state())
        for watcher in self.watchers:
            watcher(self.history)
