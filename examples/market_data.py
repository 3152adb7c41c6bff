"""Keeps the last price of each symbol, and comes back after each loss of the connection.

python3 -m examples.market_data ws://127.0.0.1:8766/ ACME GLOBEX --longest-pause 1
"""

import argparse
import json

import syncws

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("url")
parser.add_argument("symbols", nargs="+")
parser.add_argument("--longest-pause", type=float, default=60, help="seconds between two attempts, at most")
args = parser.parse_args()
prices = {}


def policy(loss):
    pause = syncws.default_policy(loss)  # None where trying again would not help
    if pause is not None:
        pause = min(pause, args.longest_pause)
        print(f"lost ({loss.error}), trying again in {pause:.1f} s", flush=True)
    return pause


for connection in syncws.reconnect(args.url, policy=policy):
    try:
        connection.send(json.dumps({"subscribe": args.symbols}))  # a new connection has no subscription
        for message in connection:
            update = json.loads(message)
            prices[update["symbol"]] = update["price"]
            print(update["symbol"], update["price"], flush=True)
    except syncws.ConnectionClosed:
        pass  # the policy has printed it; the next connection comes after the pause

print("the market is closed:", json.dumps(prices, sort_keys=True))
