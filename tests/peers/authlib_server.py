"""An authorization server of Authlib's, as its documentation builds one on Flask and SQLAlchemy, with the endpoints of the
catalogue's gitlab and airtable entries.

The protocol is the library's; what it leaves to the application is written as in its documentation.
"""

import os
import time

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback only

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.integrations.sqla_oauth2 import (
    OAuth2AuthorizationCodeMixin,
    OAuth2ClientMixin,
    OAuth2TokenMixin,
    create_bearer_token_validator,
    create_query_client_func,
    create_revocation_endpoint,
    create_save_token_func,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Flask, jsonify, redirect, request, session
from sqlalchemy import Column, ForeignKey, Integer, String, create_engine
from sqlalchemy.orm import declarative_base, relationship, scoped_session, sessionmaker

from arguments import arguments, sign_in_page

ARGUMENTS = arguments()
CLIENT_AUTH = ["client_secret_basic", "client_secret_post"]

engine = create_engine(f"sqlite:///{ARGUMENTS.database}", connect_args={"timeout": 20})
database = scoped_session(sessionmaker(engine, expire_on_commit=False))
Base = declarative_base()


class User(Base):
    __tablename__ = "user"
    id = Column(Integer, primary_key=True)
    username = Column(String(64), unique=True)

    def get_user_id(self):
        return self.id


class Client(Base, OAuth2ClientMixin):
    __tablename__ = "oauth2_client"
    id = Column(Integer, primary_key=True)

    # The mixin knows one method of a client; this one may use either.
    def check_endpoint_auth_method(self, method, endpoint):
        return method in CLIENT_AUTH


class AuthorizationCode(Base, OAuth2AuthorizationCodeMixin):
    __tablename__ = "oauth2_code"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer, ForeignKey("user.id"))
    user = relationship("User")


class Token(Base, OAuth2TokenMixin):
    __tablename__ = "oauth2_token"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer, ForeignKey("user.id"))
    user = relationship("User")


class Code(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH

    def save_authorization_code(self, code, request):
        payload = request.payload
        database.add(
            AuthorizationCode(
                code=code,
                client_id=request.client.client_id,
                redirect_uri=payload.redirect_uri,
                scope=payload.scope,
                user_id=request.user.id,
                code_challenge=payload.data.get("code_challenge"),
                code_challenge_method=payload.data.get("code_challenge_method"),
            )
        )
        database.commit()

    def query_authorization_code(self, code, client):
        found = database.query(AuthorizationCode).filter_by(code=code, client_id=client.client_id).first()
        return found if found and not found.is_expired() else None

    def delete_authorization_code(self, authorization_code):
        database.delete(authorization_code)
        database.commit()

    def authenticate_user(self, authorization_code):
        return authorization_code.user


class Refresh(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        found = database.query(Token).filter_by(refresh_token=refresh_token).first()
        return found if found and not found.refresh_token_revoked_at else None

    def authenticate_user(self, credential):
        return credential.user

    def revoke_old_credential(self, credential):
        now = int(time.time())
        credential.access_token_revoked_at = now
        credential.refresh_token_revoked_at = now
        database.add(credential)
        database.commit()


app = Flask(__name__)
app.secret_key = os.urandom(32)
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
Base.metadata.create_all(engine)
client = Client(client_id=ARGUMENTS.client_id, client_secret=ARGUMENTS.client_secret, client_id_issued_at=int(time.time()))
client.set_client_metadata(
    {
        "client_name": "Sealed integrations",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "redirect_uris": ARGUMENTS.redirect_uri,
        "scope": "read_user user.email:read schema.bases:read",
        "token_endpoint_auth_method": "client_secret_post",
    }
)
database.add(client)
database.commit()

server = AuthorizationServer(app, create_query_client_func(database, Client), create_save_token_func(database, Token))
server.register_grant(Code, [CodeChallenge(required=True)])
server.register_grant(Refresh)
Revocation = create_revocation_endpoint(database, Token)
Revocation.CLIENT_AUTH_METHODS = CLIENT_AUTH
server.register_endpoint(Revocation)
protected = ResourceProtector()
protected.register_token_validator(create_bearer_token_validator(database, Token)())


@app.teardown_appcontext
def close(_):
    database.remove()


def authorize():
    if "user" not in session:
        if request.method != "POST":
            return sign_in_page()
        user = database.query(User).filter_by(username=request.form["login"]).first()
        if not user:
            user = User(username=request.form["login"])
            database.add(user)
            database.commit()
        session["user"] = user.id
        return redirect(request.url)
    user = database.get(User, session["user"])
    grant = server.get_consent_grant(end_user=user)
    return server.create_authorization_response(grant=grant, grant_user=user)


def token():
    return server.create_token_response()


def revoke():
    return server.create_endpoint_response(Revocation.ENDPOINT_NAME)


@protected()
def account():
    user = current_token.user
    return jsonify(id=user.id, username=user.username, email=user.username)


for number, (authorize_path, token_path, revoke_path, account_path) in enumerate(ARGUMENTS.endpoints):
    app.add_url_rule(f"/{authorize_path}", f"authorize-{number}", authorize, methods=["GET", "POST"])
    app.add_url_rule(f"/{token_path}", f"token-{number}", token, methods=["POST"])
    app.add_url_rule(f"/{revoke_path}", f"revoke-{number}", revoke, methods=["POST"])
    app.add_url_rule(f"/{account_path}", f"account-{number}", account)

if __name__ == "__main__":
    app.run("127.0.0.1", ARGUMENTS.port, threaded=True)
