"""Log in over HTTP, as a browser does, then open a WebSocket with the cookie of that session.

python3 -m examples.logged_in http://127.0.0.1:8000/login ws://127.0.0.1:8000/feed USER PASSWORD
"""

import sys
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

import syncws


def main(login_url, url, user, password):
    jar = CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    form = urllib.parse.urlencode({"user": user, "password": password}).encode()
    browser.open(login_url, form, timeout=10).close()
    # What the login set is sent, and what the WebSocket's answer sets is stored: it is one session.
    with syncws.connect(url, cookies=jar) as connection:
        for message in connection:
            print(message)


if __name__ == "__main__":
    main(*sys.argv[1:])
