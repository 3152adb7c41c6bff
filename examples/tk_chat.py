"""A chat window: Tk runs in the main thread, and so do the handlers.

python3 -m examples.tk_chat ws://127.0.0.1:8765/
"""

import queue
import sys
import tkinter

from syncws import WebSocket


class Chat:
    """A list of what was said, a line to type in, and the connection."""

    def __init__(self, root, url):
        self.root = root
        self.lines = tkinter.Listbox(root, width=60)
        self.lines.pack()
        self.entry = tkinter.Entry(root, width=60, state="disabled")
        self.entry.bind("<Return>", self.send)
        self.entry.pack()
        # Tk may be called from its own thread only. So callbacks wait here until the main loop fetches them,
        # also those that come before the main loop begins.
        self.tasks = queue.SimpleQueue()
        self.ws = WebSocket(
            url,
            onopen=lambda event: self.entry.config(state="normal"),
            onmessage=lambda event: self.lines.insert("end", event.data),
            onerror=lambda event: print("error:", event.message, file=sys.stderr),
            onclose=lambda event: root.destroy(),
            dispatch=self.tasks.put,
        )
        # The window goes when the connection is closed, whichever end closes it.
        root.protocol("WM_DELETE_WINDOW", self.ws.close)
        self.run_tasks()

    def run_tasks(self):
        while not self.tasks.empty():
            self.tasks.get()()
        if self.ws.readyState != self.ws.CLOSED:  # once it is closed, the window is gone
            self.root.after(20, self.run_tasks)

    def send(self, event):
        self.ws.send(self.entry.get())
        self.entry.delete(0, "end")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    window = tkinter.Tk()
    window.title("chat")
    Chat(window, sys.argv[1])
    window.mainloop()
