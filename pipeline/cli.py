"""Entry point of `streamxr`. It imports nothing at the top, since each process of a build imports it again."""


def main() -> None:
    from .commands import main as run

    run()
