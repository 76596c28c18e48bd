"""The processes that a test's own process has started."""

import psutil


def descendants() -> list[tuple[str, psutil.Process]]:
    """Every process below this one with its command line, without those that ended while they were read."""
    processes = psutil.Process().children(recursive=True)
    return [(line, process) for process in processes if (line := command_line(process))]


def command_line(process: psutil.Process) -> str:
    """Its words with a space between them; "" of a process that ended, and of one that nobody has waited for yet."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie's error is one of them
        return ""


def parser_children() -> list[psutil.Process]:
    """The child processes that parse files."""
    return [process for line, process in descendants() if "child_main" in line]
