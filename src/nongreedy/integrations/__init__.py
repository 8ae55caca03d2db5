"""Where users already are: schedules in other trainers, searches in other people's dashboards.

Each module needs the package that it is named after, and only it; importing this one needs none.

- :mod:`nongreedy.integrations.lightning`: `ScheduleCallback` for Lightning's ``Trainer``;
- :mod:`nongreedy.integrations.transformers`: `ScheduleCallback` for Hugging Face's ``Trainer``;
- :mod:`nongreedy.integrations.tensorboard`: `TensorBoardCallback`, which logs a search;
- :mod:`nongreedy.integrations.wandb`: `WandbCallback`, likewise.
"""
