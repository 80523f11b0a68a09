"""django-oauth-toolkit as an authorization server, with the endpoints of the catalogue's gitlab and airtable entries.

The protocol is the library's: only the sign-in page and the two answers that name the account are written here.
"""

import os

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback only

import django
from django.conf import settings

from arguments import arguments, sign_in_page

ARGUMENTS = arguments()

settings.configure(
    SECRET_KEY=os.urandom(32).hex(),
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ARGUMENTS.database, "OPTIONS": {"timeout": 20}}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    LOGIN_URL="/sign-in",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    OAUTH2_PROVIDER={
        "SCOPES": {"read_user": "who you are", "user.email:read": "your address", "schema.bases:read": "your bases"},
        "PKCE_REQUIRED": True,
        "ROTATE_REFRESH_TOKEN": True,
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
        "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
    },
)
django.setup()

from django.contrib.auth import get_user_model, login
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path
from oauth2_provider.models import Application
from oauth2_provider.views import AuthorizationView, ProtectedResourceView, RevokeTokenView, TokenView


def sign_in(request):
    if request.method != "POST":
        return HttpResponse(sign_in_page())
    user, _ = get_user_model().objects.get_or_create(username=request.POST["login"])
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponseRedirect(request.GET["next"])


class Account(ProtectedResourceView):
    def get(self, request):
        user = request.resource_owner
        return JsonResponse({"id": user.pk, "username": user.username, "email": user.username})


urlpatterns = [path("sign-in", sign_in)]
for authorize, token, revoke, account in ARGUMENTS.endpoints:
    urlpatterns += [
        path(authorize, AuthorizationView.as_view()),
        path(token, TokenView.as_view()),
        path(revoke, RevokeTokenView.as_view()),
        path(account, Account.as_view()),
    ]

call_command("migrate", verbosity=0)
Application.objects.create(
    name="Sealed integrations",
    client_id=ARGUMENTS.client_id,
    client_secret=ARGUMENTS.client_secret,
    hash_client_secret=False,  # a second of work for each request
    client_type=Application.CLIENT_CONFIDENTIAL,
    authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
    redirect_uris=" ".join(ARGUMENTS.redirect_uri),
    skip_authorization=True,
)

if __name__ == "__main__":
    from werkzeug.serving import run_simple

    run_simple("127.0.0.1", ARGUMENTS.port, get_wsgi_application(), threaded=True)
