"""python -m npcbnet.energy MODEL...: the energy of an image, modelled, measured, or estimated for another device."""
import argparse
import json
import sys

from npcbnet.cli import run_command

EXAMPLE = """examples:
  python -m npcbnet.energy --meters                                   what this machine offers, and why not more
  python -m npcbnet.energy mnist-lenet mnist-cbnet                    the best meter that is here
  python -m npcbnet.energy mnist-cbnet --meter pi4 --batch 64 --json
  python -m npcbnet.energy mnist-cbnet --seconds 60 --out run.json    while another machine logs a USB meter; then
  python -m npcbnet.energy --log usb.csv --format um34c --window run.json
  python -m npcbnet.energy --latency-ms 1.9 --device pi4 --utilisation 0.25
  python -m npcbnet.energy --estimates benchmarks/results/pi_estimate.json --device pi4 --utilisation 0.25

--meter and --device also take a JSON file with constants of your own: {"base": "pi4", "peak_w": 7.1}. Both clocks must
be right where a log is joined. Ends with status 1 where a run is invalid (throttling, a clock that changed)."""


def parser():
    """The command's options."""
    p = argparse.ArgumentParser(prog="python -m npcbnet.energy", description=__doc__, epilog=EXAMPLE,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="*", metavar="MODEL", help="pretrained names such as mnist-cbnet, or model files")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    p.add_argument("--out", metavar="FILE", help="also write the figures and the runs' times to this file (JSON)")
    p.add_argument("--meters", action="store_true", help="list the meters that are here, and why others are not")
    run = p.add_argument_group("a run on this machine")
    run.add_argument("--meter", help="auto, rapl, pmic, gci, pi4 or a power model's file (default: auto, the best "
                                     "meter that is here, else the model gci)")
    run.add_argument("--images", metavar="DATA", help="data set whose test images are used (default: the model's own "
                     "where it is at hand, else generated ones)")
    run.add_argument("--batch", type=int, help="images in a call (default: 1)")
    run.add_argument("--seconds", type=float, help="how long at least (default: 2)")
    run.add_argument("--threads", type=int, help="threads for large batches (default: 1)")
    log = p.add_argument_group("a log of another instrument, joined to earlier runs")
    log.add_argument("--log", metavar="FILE", help="the log")
    log.add_argument("--format", choices=("um34c", "tegrastats", "nvidia-smi"), help="what wrote it")
    log.add_argument("--window", metavar="FILE", help="what --out wrote during the runs")
    log.add_argument("--idle-w", type=float, help="power of the idle device, which is taken off (default: 0)")
    log.add_argument("--utc-offset", type=float, metavar="HOURS", help="of the log's local times, such as 2 or -5.5 "
                     "(default: this machine's time zone)")
    log.add_argument("--start", type=float, metavar="UNIX", help="Unix time of the first line of an undated tegrastats "
                     "log")
    log.add_argument("--interval", type=float, metavar="S", help="seconds between lines of tegrastats, where they have "
                     "no date or share a second")
    log.add_argument("--gpu", help="index or uuid of the GPU, where an nvidia-smi log has several")
    other = p.add_argument_group("an estimate for a device that is not here")
    other.add_argument("--latency-ms", type=float, metavar="MS", help="time of an image on that device")
    other.add_argument("--estimates", metavar="FILE", help="latencies that benchmarks.pi_estimate --json estimated")
    other.add_argument("--device", metavar="NAME", help="its power model: gci, pi4 or a file (default: pi4)")
    other.add_argument("--utilisation", type=float, help="share of its processors that is busy (default: 1; one "
                       "thread of a Pi 4 is 0.25)")
    return p


def main(arguments=None):
    """The command. Returns its exit status: 1 where a result is invalid, 2 after a mistake."""
    options = parser().parse_args(arguments)

    def go():
        from npcbnet.energy import command, join, report
        from npcbnet.files import write_text
        if options.meters:
            return command.show_meters(options)
        results = command.results(options)
        if options.out:
            write_text(options.out, json.dumps(join.windows_of(results), indent=2) + "\n")
        print(json.dumps({name: one.as_dict() for name, one in results.items()}, indent=2) if options.json
              else report.text(results))
        return int(any(one.invalid for one in results.values()))

    return run_command(go)


if __name__ == "__main__":
    sys.exit(main())
