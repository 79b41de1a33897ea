"""The environment of a kernel: the same on everybody's machine, whoever starts the run.

What a person has set for other work, in variables or in files of their home directory, must not change the numbers
of a run or the look of its log. What a machine needs stays. What is neither, such as the model of the processor,
is on record (`host.describe_environment`).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nbstudy.execution.host import data_home, private_directory
from nbstudy.study.modules import link_what_lies_beside, write_modules
from nbstudy.study.project import Project

# What belongs to the person and not to the run. The paths of CUDA, LD_LIBRARY_PATH and their like stay.
PERSONAL = re.compile(
    r"""
    KERAS_\w+                           # backend, limits of epochs and steps
    | TF_(?!GPU_)\w+                    # precision, compilers, other numbers of layers; GPU_: how memory is taken
    | \w+_DEFAULT_FPMATH_MODE | NVIDIA_TF32_OVERRIDE
    # how many threads compute is said by the study
    | \w+_(NUM|MAX|MAXIMUM)_THREADS | \w+_THREAD_LIMIT | \w+_ALL_THREADS | (OMP|MKL)_DYNAMIC
    | LOKY_MAX_CPU_COUNT | NPROC
    # of Python's own, all but those by which it finds its libraries
    | PYTHON(?!PATH|HOME|USERBASE|NOUSERSITE|PLATLIBDIR|PYCACHEPREFIX|DONTWRITEBYTECODE)\w+
    | IPYTHON\w* | JUPYTER_\w+ | JPY_\w+
    | MPLBACKEND | MATPLOTLIBRC | PLOTLY_RENDERER | TQDM_\w+
    | COLUMNS | LINES | NO_COLOR | FORCE_COLOR | CLICOLOR\w*
    | NBSTUDY_\w+
    """,
    re.VERBOSE,
)

# The files in the private directory in which all is that a kernel writes to its stderr, at once, so that the last words
# of one that dies are there: Python's, and what C code and other processes write to file descriptor 2.
SAID = "stderr"
SAID_BELOW = "stderr-below"

THE_END = "nbstudy_end"  # the type of a kernel's last message

# What runs in a kernel before it has any socket: IPython's settings, which are Python.
#
# ipykernel 7.4 (iostream.py, _setup_pipe_in) takes what a forked child prints at a TCP port of 127.0.0.1, whatever the
# kernel's own sockets are, and keeps in memory what anybody on the host sends there. A socket among its others stands
# in for that port.
#
# Five of its threads have nothing to do here: three for a heartbeat that nobody listens to, one that writes a history
# which goes with the kernel, and one that looks whether its parent is alive, where it has a guard. Nor has its log of
# what it does itself, of which its console shows warnings alone.
CONFIG = """
def set_up(settings):
    import os, sys, zmq
    from ipykernel.iostream import IOPubThread
    from ipykernel.kernelapp import IPKernelApp
    from zmq.eventloop.zmqstream import ZMQStream

    settings.HistoryManager.hist_file = ":memory:"
    settings.IPKernelApp.logging_config = dict(loggers=dict(IPKernelApp=dict(level="WARNING")))
    IPKernelApp.init_heartbeat = lambda _: None
    if sys.platform == "linux":
        settings.IPKernelApp.parent_handle = 0

    def address(outputs):
        return outputs.socket.last_endpoint.decode().rpartition("/")[0] + "/{children}"

    def listen(outputs):
        outputs._pipe_uuid = os.urandom(16)
        socket = outputs.socket.context.socket(zmq.PULL)
        socket.linger = 0
        socket.bind(address(outputs))
        outputs._pipe_in = ZMQStream(socket, outputs.io_loop)
        outputs._pipe_in.on_recv(outputs._handle_pipe_msg)

    def speak(outputs):
        context = zmq.Context()  # of the forked child, where threads of the kernel's are gone
        socket = context.socket(zmq.PUSH)
        socket.linger = 3000  # milliseconds, in which it arrives or is dropped
        socket.connect(address(outputs))
        return context, socket

    IOPubThread._setup_pipe_in = listen
    IOPubThread._setup_pipe_out = speak


set_up(get_config())
"""
CHILDREN = "children"  # the name of that socket

# What runs in a kernel before its first cell.
#
# ZeroMQ drops what a cell puts out, and the news that it has ended, where more than 1000 messages wait to be fetched:
# it must not. ipykernel fetches what is written to descriptor 2 from a pipe, but not in time when it dies: a file
# stands in for the pipe. OpenBLAS, whatever it is told, begins with no more
# threads than the process has cores: it is told again as soon as it is loaded.
#
# IPython 9.18 (interactiveshell.py, _format_exception_for_storage) and ipykernel 7.4 (zmqshell.py, _showtraceback;
# ipkernel.py, do_execute) call `str` on the exception of a cell. Where that raises, what it raised is taken for the
# error of the cell, whose own name is lost: it is given the text that Python gives it.
#
# IPython 9.18 (core/prefilter.py, AssignmentChecker) takes `run: str = "."`, alone in its cell, for its command %run, and
# any other name of a command with a type likewise: it is told that this is an assignment.
#
# A kernel that is asked to end waits for its threads and runs its exit handlers, as any Python does, with `end` as the
# last of them: what was registered before belongs to the process that forked this kernel, and may remove what others
# still use. Then Python would take itself apart, for a tenth of a second, and with h5py, without the handler that it
# registers when it is imported, to a segmentation fault. What a run can lose are files that it has left open: they are
# finished here, if there are any. (No Python promises that a `__del__` is called at its end.)
#
# ipykernel 7.4 (iostream.py, _event_pipe) makes a socket for each thread when it first puts something out. A cell may
# have taken all the open files that there are, and then nothing would be heard of the kernel again: its own threads
# have theirs before, and a few files are left for its end.
#
# ipykernel 7.4 ends children first (kernelbase.py, _progressively_terminate_all_children): with SIGTERM such as
# multiprocessing waits for, and then it waits 14 seconds, twice, for all that nobody has asked for their status since.
# It is told not to; whoever started the kernel ends what it leaves.
STARTUP = """
def set_up():
    import atexit, fcntl, gc, io, logging, os, stat, sys, threading, time, weakref
    from contextlib import suppress
    from functools import partial
    from ipykernel.kernelapp import IPKernelApp
    from IPython.core.prefilter import PrefilterChecker
    from zmq import XPUB_NODROP

    shell = get_ipython()
    outputs = shell.kernel.iopub_thread
    outputs.schedule(partial(outputs.socket.set, XPUB_NODROP, 1))

    def give_socket_to(call):  # a thread, in which that calls what it is given
        has_one = threading.Event()
        call(outputs.schedule, has_one.set)
        has_one.wait()

    give_socket_to(lambda *called: outputs.schedule(partial(*called)))
    for thread in (shell.kernel.control_thread, shell.kernel.shell_channel_thread):
        give_socket_to(thread.io_loop.add_callback)

    stderr = sys.stderr
    stderr.echo = open({said!r}, "a", buffering=1)
    os.dup2(os.open({said_below!r}, os.O_WRONLY | os.O_APPEND), 2)
    below = open({said_below!r}, newline="", errors="replace")
    below.seek(0, os.SEEK_END)
    lock = threading.Lock()

    def pass_on(*_):
        with lock:
            words = below.read()
            if words:
                stderr.write(words)

    def pass_on_always(schedule, has_one):
        schedule(has_one)
        while True:
            pass_on()
            time.sleep(0.2)

    give_socket_to(lambda *called: threading.Thread(target=pass_on_always, args=called, daemon=True).start())
    shell.events.register("post_run_cell", pass_on)

    threads = int(os.environ["OPENBLAS_NUM_THREADS"])
    if threads > 1:
        from importlib.machinery import ExtensionFileLoader
        from threadpoolctl import ThreadpoolController

        execute = ExtensionFileLoader.exec_module
        told = set()

        def tell_what_is_new():  # once each: what the notebook says later counts
            for library in ThreadpoolController().lib_controllers:
                if library.filepath not in told:
                    told.add(library.filepath)
                    library.set_num_threads(threads)

        def execute_and_tell(loader, module):
            execute(loader, module)
            tell_what_is_new()

        ExtensionFileLoader.exec_module = execute_and_tell
        tell_what_is_new()  # to what was loaded before this kernel was forked

    class AnnotationChecker(PrefilterChecker):
        priority = 600  # before commands

        def check(self, line):
            if line.the_rest.startswith(":"):
                return self.prefilter_manager.get_handler_by_name("normal")

    AnnotationChecker(shell=shell, prefilter_manager=shell.prefilter_manager)

    show_traceback = shell.showtraceback

    def show_any_traceback(*arguments, **options):
        error = sys.exc_info()[1]
        try:
            str(error)
        except Exception:
            kind = type(error)
            with suppress(TypeError):  # where it is not a class of Python
                error.__class__ = type(kind.__name__, (kind,), dict(__str__=lambda _: "<exception str() failed>"))
        show_traceback(*arguments, **options)

    shell.showtraceback = show_any_traceback

    kernel, application = shell.kernel, IPKernelApp.instance()

    async def leave_children():
        pass

    kernel._progressively_terminate_all_children = leave_children

    def files_being_written():
        found = set()
        for descriptor in map(int, os.listdir("/dev/fd")):
            with suppress(OSError):  # it was that of the directory itself
                status = os.fstat(descriptor)
                is_file = stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)
                access = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
                if is_file and access != os.O_RDONLY:
                    found.add((status.st_dev, status.st_ino))
        return found

    def finish_files():
        shell.reset(new_session=False)  # closes, or finishes in its own way, what only the notebook held
        gc.collect()
        left = [each for each in gc.get_objects() if isinstance(each, (io.TextIOBase, io.BufferedIOBase))]
        left.sort(key=lambda each: isinstance(each, (io.BufferedWriter, io.BufferedRandom)))  # into which others write
        for each in left:
            with suppress(Exception):  # it is closed, or cannot be written
                each.flush()

    def finish():
        for descriptor in spare:
            os.close(descriptor)
        weakref.finalize._exitfunc()  # three that Python registered before `end`, so that they would come after it
        if "multiprocessing.util" in sys.modules:
            sys.modules["multiprocessing.util"]._exit_function()
        logging.shutdown()
        if files_being_written() - known:
            finish_files()
        pass_on()
        sys.stdout.flush()
        sys.stderr.flush()
        kernel.session.send(kernel.iopub_socket, {the_end!r})
        application.close()  # which waits until all is sent

    def end():
        try:
            finish()
        finally:
            os._exit(0)

    for each in list(weakref.finalize._registry):  # of what was imported before this kernel was forked
        each.atexit = False
    known = files_being_written()
    spare = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
    atexit.register(end)


set_up()
del set_up
"""

WATCH = Path(__file__).with_name("watch.py").read_text(encoding="utf-8")  # it travels with these functions
WATCHES = "nbstudy_watch"  # the name of that module in kernels, and in the process that forks them

# What runs in a kernel after that, where it is to note what it reads of a project: a watch that was begun in the process
# that forked it knows what that has imported.
WATCH_STARTUP = """
def begin_to_watch():
    import sys
    from importlib.util import module_from_spec, spec_from_file_location

    if {name!r} not in sys.modules:
        specification = spec_from_file_location({name!r}, {program!r})
        module = sys.modules[{name!r}] = module_from_spec(specification)
        specification.loader.exec_module(module)
    sys.modules[{name!r}].watch({project!r}, {outputs!r}).write_to({notes!r}, {modules!r}, {inputs!r})


begin_to_watch()
del begin_to_watch
"""


@dataclass(frozen=True)
class Watched:
    """The project of which a kernel notes what it reads."""

    project: Path
    outputs: Path  # of the study, which are no inputs
    notes: Path  # the file for them
    module_places: tuple[Path, ...] = ()  # that the modules which travel with a run come from
    inputs: tuple[str, ...] = ()  # what its record names already, by path in the project


def kernel_environment(
    private: Path,
    settings: Mapping[str, str],
    modules: Mapping[str, str],
    project: Project | None = None,
    watched: Watched | None = None,
) -> dict[str, str]:
    """Return the environment of a kernel that has a private directory and the settings of its share of this host.

    Its settings and its temporary files lie in the private directory, as do the modules, files by path, that it
    can import before all others. Then come the import places of its project, for what it imports in ways that cannot
    be read from its code. Raises OSError where the directory or that of the data cannot be used.
    """
    environment = {name: value for name, value in os.environ.items() if not PERSONAL.fullmatch(name)}
    environment |= settings
    environment |= {
        "PYTHONHASHSEED": "0",  # the order of sets of texts
        "PYTHONUTF8": "1",
        "TMPDIR": str(make(private / "tmp")),
        "IPYTHONDIR": str(ipython_directory(private, watched)),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(empty_file(private / "matplotlibrc")),
        "KERAS_BACKEND": "tensorflow",
        "KERAS_HOME": str(keras_home(private / "keras")),
    }
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        environment[name] = str(private / "jupyter")
    environment |= stand_in_for_home(private)
    import_places: list[Path] = []
    if modules:
        write_modules(modules, private / "modules")
        if watched:
            link_what_lies_beside(modules, watched.module_places, private / "modules")
        import_places.append(private / "modules")
    if project and project.root.is_dir():  # workers of a cluster may not have it where it is here
        environment["NBSTUDY_PROJECT"] = str(project.root)
        import_places += project.import_places
    if import_places:
        environment["PYTHONPATH"] = before_all_others(import_places)
    return environment


def ipython_directory(private: Path, watched: Watched | None) -> Path:
    """Make an IPython directory with this project's settings and start-up file, and without the settings of anybody."""
    directory = private / "ipython"
    profile = directory / "profile_default"
    startup = profile / "startup"
    startup.mkdir(parents=True)
    (profile / "ipython_kernel_config.py").write_text(CONFIG.format(children=CHILDREN), encoding="utf-8")
    source = STARTUP.format(said=str(private / SAID), said_below=str(private / SAID_BELOW), the_end=THE_END)
    if watched:
        program = private / "watch.py"
        program.write_text(WATCH, encoding="utf-8")
        source += WATCH_STARTUP.format(
            name=WATCHES,
            program=str(program),
            project=str(watched.project),
            outputs=str(watched.outputs),
            notes=str(watched.notes),
            modules=str(private / "modules"),
            inputs=list(watched.inputs),
        )
    (startup / "nbstudy.py").write_text(source, encoding="utf-8")
    return directory


def keras_home(directory: Path) -> Path:
    """Make a home of Keras without settings, in which the data and models of this host are."""
    directory.mkdir()
    for name in ("datasets", "models"):
        data = data_home() / name
        with suppress(OSError):  # a home of which nothing can be written or read
            data.mkdir(parents=True, exist_ok=True)
            (directory / name).symlink_to(data)
    return directory


def stand_in_for_home(private: Path) -> dict[str, str]:
    """Return what stands in for a home directory that is not known, or that cannot be written."""
    try:
        home = Path.home()
    except RuntimeError:  # HOME is not set, and the user is unknown
        return {"HOME": str(make(private / "home"))}
    if "MPLCONFIGDIR" in os.environ or os.access(home, os.W_OK | os.X_OK):
        return {}
    # one for all kernels: it takes seconds to list the fonts of a host
    fonts = private_directory(Path(tempfile.gettempdir(), f"matplotlib-{os.getuid()}"))
    return {"MPLCONFIGDIR": str(fonts)}


def before_all_others(places: Iterable[Path]) -> str:
    """Return the PYTHONPATH of a kernel that finds modules in directories before those of the same name elsewhere."""
    found = [str(place) for place in places]
    inherited = os.environ.get("PYTHONPATH")
    if inherited:
        found.append(inherited)
    return os.pathsep.join(found)


def make(directory: Path) -> Path:
    """Make a directory; return it."""
    directory.mkdir()
    return directory


def empty_file(path: Path) -> Path:
    """Make an empty file; return it."""
    path.touch()
    return path
