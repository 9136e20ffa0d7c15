"""`streamxr`, as a shell starts it. Each process of a build imports this once more, so it loads nothing by itself."""


def main() -> None:
    from .commands import main as run

    run()
