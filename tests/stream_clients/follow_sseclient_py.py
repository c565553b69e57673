"""Prints what sseclient-py receives from the address in its argument. It leaves reconnecting to its user."""
import json, sys, time

import sseclient
import urllib3

last_event_id, delay = None, 1.0
http = urllib3.PoolManager()
while True:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
    try:
        answer = http.request("GET", sys.argv[1], headers=headers, preload_content=False, retries=False)
        for event in sseclient.SSEClient(answer).events():
            last_event_id = event.id or last_event_id
            if event.retry is not None:
                delay = int(event.retry) / 1000
            if event.event == "draw":
                print("draw", event.id, json.loads(event.data)["round"], flush=True)
            else:
                print(event.event, flush=True)
    except urllib3.exceptions.HTTPError:
        pass
    time.sleep(delay)
