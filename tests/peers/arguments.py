"""What both servers are started with, and the page on which a user signs in."""

import argparse

# The paths of the catalogue's entries: authorize, token, revoke, account. Airtable has no revocation; its path is never asked for.
ENDPOINTS = [
    ("oauth/authorize", "oauth/token", "oauth/revoke", "api/v4/user"),
    ("oauth2/v1/authorize", "oauth2/v1/token", "oauth2/v1/revoke", "v0/meta/whoami"),
]


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", required=True, help="an SQLite file that does not exist yet")
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--client-secret", required=True, help="of a server that lives as long as a test")
    parser.add_argument("--redirect-uri", action="append", required=True)
    parsed = parser.parse_args()
    parsed.endpoints = ENDPOINTS
    return parsed


def sign_in_page():
    return '<form method="post"><input name="login"><button>Sign in</button></form>'
