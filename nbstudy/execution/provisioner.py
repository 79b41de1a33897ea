"""What starts a kernel for a kernel manager: it is forked from a warm process if there is one, and has a guard."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbstudy.execution.guarded import GuardedKernel, StartedKernel, write_guard
from nbstudy.execution.once import find_classes_of_traits, made_once
from nbstudy.execution.warm import WarmProcess


def provisioner_of(
    private: Path, is_wanted: Callable[[], bool], warm: WarmProcess | None, **options: Any
) -> Any:
    """Return what starts and ends a kernel with a private directory for a kernel manager."""
    provisioner = made_once(provisioner_class)(**options)
    provisioner.private, provisioner.is_wanted, provisioner.warm = private, is_wanted, warm
    return provisioner


def provisioner_class() -> type[Any]:
    """Return the class of what starts and ends kernels."""
    from jupyter_client.provisioning.local_provisioner import LocalProvisioner

    class GuardingProvisioner(LocalProvisioner):
        process: Any = None
        kernel: GuardedKernel | None = None  # the process, also when it has ended
        private: Path
        is_wanted: Callable[[], bool]
        warm: WarmProcess | None

        async def launch_kernel(self, cmd: list[str], **options: Any) -> Any:
            if sys.platform != "linux":
                return await super().launch_kernel(cmd, **options)
            module = cmd.index("-m") + 1
            self.process = self.kernel = self.kernel_of(cmd[module:], self._scrub_kwargs(options))
            self.pid = self.process.pid
            return self.connection_info

        def kernel_of(self, command: list[str], options: dict[str, Any]) -> GuardedKernel:
            """Return a kernel, forked if it can be, of the command line of a module."""
            if self.warm:
                forked = self.warm.fork(command[1:], options, self.is_wanted)
                if forked:
                    return forked
            return StartedKernel([str(write_guard(self.private)), *command], options)

    find_classes_of_traits(GuardingProvisioner)
    return GuardingProvisioner
