"""``python -m example_project.demo.serve``: keep the site running for a browser, until Ctrl-C."""

import sys

from example_project.demo.processes import LOGS, Processes, argument_parser, main, say, start_site

# Seconds for getting ready.
START = 60


def serve() -> None:
    """Start the site, print the logins, wait."""
    options = argument_parser(__doc__, port=8000).parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    with Processes(START) as processes:
        site = start_site(
            processes, port=options.port, sandbox_port=options.sandbox_port, delay=options.delay
        )
        processes.run("seed", "-m", "django", "seed_shop")
        say("customer", f"{site}/")
        say("admin", f"{site}/admin/")
        say("ready", "stop it with Ctrl-C")
        processes.watch()


if __name__ == "__main__":
    sys.exit(main(serve))
