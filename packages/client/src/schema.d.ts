// Generated from docs/openapi.yaml by tests/format/client-types.mjs, and compared by a test.

export interface paths {
    "/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether the settings are complete */
        get: operations["health"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/providers": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The types that can be connected here */
        get: operations["listProviders"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/session": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The signed-in user and their organizations */
        get: operations["getSession"];
        put?: never;
        /** Signs in, or renews the session */
        post: operations["signIn"];
        /** Deletes the cookies, and signs out */
        delete: operations["signOut"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/session/methods": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How users of the project can sign in */
        get: operations["listSignInMethods"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/session/code": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Sends a one-time code by e-mail */
        post: operations["sendSignInCode"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/session/authorize": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Begins a sign-in at an OAuth provider of the project */
        post: operations["beginSignIn"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/session/callback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Where the browser comes back to from that provider */
        get: operations["finishSignIn"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/auth/authorize": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Begins a connection by OAuth */
        post: operations["authorize"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/auth/callback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The callback for apps that are registered with this address */
        get: operations["callbackOfSupabase"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/auth/callback/{type}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                type: components["parameters"]["Type"];
            };
            cookie?: never;
        };
        /** Where a provider sends the browser */
        get: operations["callback"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/connections/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        /** The accounts of a pending connection */
        get: operations["listAccounts"];
        put?: never;
        /** Stores a pending connection for one account */
        post: operations["selectAccount"];
        /** Discards a pending connection, and revokes its grant */
        delete: operations["discardConnection"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/integrations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Connected accounts, the newest first
         * @description A user gets `count` and asks with `offset`; a program gets `next_cursor` and asks with `cursor`.
         */
        get: operations["listIntegrations"];
        put?: never;
        /** Connects an account with credentials */
        post: operations["createIntegration"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/integrations/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        /** One integration */
        get: operations["getIntegration"];
        put?: never;
        post?: never;
        /** Deletes the integration, then revokes its grant */
        delete: operations["disconnectIntegration"];
        options?: never;
        head?: never;
        /** Renames, reschedules or tags */
        patch: operations["changeIntegration"];
        trace?: never;
    };
    "/api/integrations/{id}/credentials": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        /** Replaces the credentials with others of the same account */
        put: operations["replaceCredentials"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/integrations/{id}/refresh": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Refreshes the tokens */
        post: operations["refreshIntegration"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/integrations/{id}/check": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Asks the provider whether the credential works */
        post: operations["checkIntegration"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/integrations/{id}/reconnect": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Begins a connection by OAuth for this integration alone */
        post: operations["reconnectIntegration"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/integrations/{id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        /** What was done with the credentials, the newest first */
        get: operations["listEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/integrations/import": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Stores a grant, or another credential, that the program already has */
        post: operations["importIntegration"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/integrations/{id}/credential": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A live credential */
        post: operations["readCredential"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/organizations/{id}/integrations/{type}/credential": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
                type: components["parameters"]["Type"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A live credential of the one integration of a type */
        post: operations["readCredentialOfType"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/connect-sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Starts a connect session for a user of the backend */
        post: operations["createConnectSession"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/connect-sessions/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        /** A connect session, as its backend sees it */
        get: operations["getConnectSession"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/connect-sessions/{id}/complete": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Stores the grant */
        post: operations["completeConnectSession"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/connect": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Opens the link of a connect session, once */
        post: operations["openConnectSession"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/connect/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        /** A connect session, for the browser that opened its link */
        get: operations["getOpenedConnectSession"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/connect/{id}/authorize": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Begins the connection by OAuth */
        post: operations["authorizeInConnectSession"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/connect/{id}/credentials": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Connects with credentials */
        post: operations["enterCredentialsInConnectSession"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/connect/{id}/account": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Chooses one of the accounts of a grant */
        post: operations["selectAccountInConnectSession"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/connect/{id}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Ends the connect session without a connection */
        post: operations["cancelConnectSession"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/service-keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The service keys of an organization */
        get: operations["listServiceKeys"];
        put?: never;
        /** Creates a service key */
        post: operations["createServiceKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/service-keys/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Revokes a service key */
        delete: operations["revokeServiceKey"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/oauth-apps": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The OAuth apps of an organization's own */
        get: operations["listOauthApps"];
        put?: never;
        /** Adds an OAuth app of the organization's own */
        post: operations["addOauthApp"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/oauth-apps/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Deletes an OAuth app that nothing uses */
        delete: operations["deleteOauthApp"];
        options?: never;
        head?: never;
        /** Renames an OAuth app, or changes its secrets */
        patch: operations["changeOauthApp"];
        trace?: never;
    };
    "/api/checks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The security checks there are */
        get: operations["listChecks"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/integrations/{id}/coverage": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        /** What a scan could see */
        get: operations["getCoverage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/integrations/{id}/assessments": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Scans now */
        post: operations["scanIntegration"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/assessments": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Scans, the newest first */
        get: operations["listAssessments"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/assessments/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        /** One scan, with what each check saw */
        get: operations["getAssessment"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/findings": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Findings, the most severe first */
        get: operations["listFindings"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/findings/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        /** One finding, with its evidence */
        get: operations["getFinding"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/findings/{id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        /** A finding's history, the newest first */
        get: operations["listFindingEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/mutes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Mutes, the newest first */
        get: operations["listMutes"];
        put?: never;
        /** Mutes the findings of a check until a day */
        post: operations["addMute"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/mutes/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Ends a mute now */
        delete: operations["endMute"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Events of credentials, the oldest first, a line each
         * @description Each line is an `ExportedEvent`. Continue with the `cursor` of the last line; no line means that there is nothing new yet. Without `organization_id`, a service key of all organizations gets the events of all. `cursor_unknown` says that the cursor is from before a restore of the database: start without one.
         */
        get: operations["exportEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/export": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Findings and results as a file
         * @description `Link` with `rel=next` names the rest, if there is more. docs/checks.md describes the formats.
         */
        get: operations["exportFindings"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/webhooks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The webhooks of an organization */
        get: operations["listWebhooks"];
        put?: never;
        /**
         * Adds a webhook
         * @description For a service key of all organizations, an `organization_id` of null stands for all of them. Anybody else leaves it out or names one.
         */
        post: operations["addWebhook"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/webhooks/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Deletes a webhook */
        delete: operations["deleteWebhook"];
        options?: never;
        head?: never;
        /** Changes a webhook */
        patch: operations["changeWebhook"];
        trace?: never;
    };
    "/api/webhooks/{id}/secret": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Replaces the secret */
        post: operations["rotateWebhookSecret"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/webhooks/{id}/deliveries": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        /** What was sent to a webhook, the newest first */
        get: operations["listDeliveries"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/webhooks/{id}/deliveries/{event_id}/replay": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
                event_id: components["schemas"]["Id"];
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Sends an event again */
        post: operations["replayDelivery"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** Format: uuid */
        Id: string;
        /** Format: uuid */
        OptionalId: string | null;
        OptionalTime: string | null;
        /** @description Null on the last page */
        NextCursor: string | null;
        /** @enum {unknown} */
        Severity: "critical" | "high" | "medium" | "low" | "info";
        /** @enum {unknown} */
        OptionalSeverity: "critical" | "high" | "medium" | "low" | "info" | null;
        /** @enum {unknown} */
        Status: "active" | "degraded" | "reconnect_required" | "revoked";
        /** @enum {unknown} */
        Revoked: true | false | "unsupported" | "unknown";
        /** @enum {unknown} */
        Scope: "connections:read" | "connections:credentials" | "connections:write" | "connections:import" | "connect_sessions:write" | "webhooks:manage" | "findings:read";
        /** @enum {unknown} */
        MuteReason: "accepted_risk" | "false_positive" | "compensating_control" | "wont_fix";
        EventTypes: components["schemas"]["EventType"][] | null;
        /** @enum {unknown} */
        EventType: "connection.created" | "connection.reconnected" | "connection.refreshed" | "connection.refresh_failed" | "connection.degraded" | "connection.reconnect_required" | "connection.deleted" | "finding.opened" | "finding.reopened" | "finding.resolved" | "finding.mute_ended" | "assessment.completed" | "assessment.incomplete";
        TypeName: string;
        Name: string;
        /** @description A path of this site */
        ReturnPath: string | null;
        Error: {
            error: {
                code: components["schemas"]["ErrorCode"];
                message: string;
            };
        };
        /** @enum {unknown} */
        ErrorCode: "invalid_request" | "invalid_fields" | "bad_schedule" | "bad_url" | "provider_unknown" | "return_url_not_allowed" | "scopes_not_allowed" | "type_not_allowed" | "wrong_completion" | "cursor_unknown" | "declined" | "flow_unknown" | "unauthorized" | "bad_credentials" | "forbidden" | "not_a_member" | "flow_foreign" | "not_an_admin" | "not_the_owner" | "wrong_organization" | "missing_scope" | "plaintext_disabled" | "not_found" | "method_not_allowed" | "not_refreshable" | "not_checkable" | "account_mismatch" | "already_connected" | "own_oauth_app" | "refresh_in_progress" | "revocation_pending" | "needs_reauthorization" | "several_integrations" | "too_many_service_keys" | "link_used" | "link_expired" | "connect_session_over" | "connect_session_not_ready" | "connect_session_completed" | "newer_credentials" | "account_unknown" | "name_taken" | "not_assessable" | "reconnect_required" | "webhook_disabled" | "connects_by_credentials" | "connects_by_oauth" | "oauth_app_exists" | "oauth_app_in_use" | "oauth_app_unreadable" | "too_many_oauth_apps" | "payload_too_large" | "unsupported_media_type" | "no_accounts" | "several_accounts" | "not_importable" | "credentials_refused" | "too_many_requests" | "too_many_sign_ins" | "too_many_attempts" | "too_many_connect_sessions" | "too_many_connections" | "too_many_scans" | "too_many_mutes" | "too_many_webhooks" | "provider_paused" | "provider_rate_limited" | "internal" | "provider_failed" | "upstream_failed" | "upstream_timeout" | "upstream_unavailable" | "save_failed";
        Provider: {
            integration_type: string;
            name: string;
            /** @enum {unknown} */
            auth: "oauth" | "api_key" | "basic" | "client_credentials";
            fields?: {
                name: string;
                label: string;
                secret: boolean;
                help?: string;
            }[];
        };
        User: {
            id: components["schemas"]["Id"];
            email: string | null;
        };
        Session: {
            user: components["schemas"]["User"];
            expires_at: string | null;
        };
        WhoAmI: {
            user: components["schemas"]["User"];
            expires_at: string | null;
            organizations: {
                id: components["schemas"]["Id"];
                role: string;
            }[];
            has_more: boolean;
        };
        Account: {
            id: string;
            name: string;
        };
        PendingConnection: {
            integration_type: string;
            accounts: components["schemas"]["Account"][];
            expires_at: string;
        };
        Tag: string;
        Tags: components["schemas"]["Tag"][];
        ListedIntegration: {
            id: components["schemas"]["Id"];
            integration_type: string;
            name: string;
            status: string;
            created_at: components["schemas"]["OptionalTime"];
        };
        Integration: {
            id: components["schemas"]["Id"];
            integration_type: string;
            name: string;
            status: string;
            created_at: components["schemas"]["OptionalTime"];
            status_reason: string | null;
            scan_schedule: string | null;
            last_checked_at: components["schemas"]["OptionalTime"];
            next_check_at: components["schemas"]["OptionalTime"];
            token_expires_at: components["schemas"]["OptionalTime"];
            external_user_id: string | null;
            organization_id: components["schemas"]["Id"];
            account_id: string | null;
            granted_scopes: string[] | null;
            oauth_app_id: components["schemas"]["OptionalId"];
            missing_scopes: string[] | null;
            /** @description Who connected the account last, in the words of its event; null if another application wrote the row */
            connected_by: {
                /** @enum {unknown} */
                actor: "user" | "service_key";
                user_id?: components["schemas"]["Id"];
                service_key?: components["schemas"]["Id"];
                name?: string;
                connect_session?: components["schemas"]["Id"];
                external_user_id?: string;
            } | null;
            tags: components["schemas"]["Tags"];
        };
        Event: {
            id: number;
            occurred_at: string;
            /** @enum {unknown} */
            actor: "user" | "service" | "service_key" | "keytool" | "scanner";
            user_id: components["schemas"]["OptionalId"];
            action: string;
            outcome: string;
            reason: string | null;
            request_id: string | null;
            details: Record<string, never> | null;
        };
        ExportedEvent: {
            id: number;
            occurred_at: string;
            organization_id: components["schemas"]["Id"];
            integration_id: components["schemas"]["OptionalId"];
            integration_type: string | null;
            /** @enum {unknown} */
            actor: "user" | "service" | "service_key" | "keytool" | "scanner";
            user_id: components["schemas"]["OptionalId"];
            action: string;
            outcome: string;
            reason: string | null;
            request_id: string | null;
            details: Record<string, never> | null;
            cursor: string;
        };
        Credential: {
            id: components["schemas"]["Id"];
            organization_id: components["schemas"]["Id"];
            integration_type: string;
            expires_at: components["schemas"]["OptionalTime"];
            granted_scopes: string[] | null;
            /** @description Sealed (docs/format.md) */
            config?: Record<string, never>;
            /** @description The wrapped data keys of the organization, the current one first (docs/format.md) */
            data_keys?: {
                organization_id: components["schemas"]["Id"];
                kid: string;
                wrapping_kid: string;
                wrapped: string;
            }[];
            /** @description In plain */
            credential?: Record<string, never>;
        } & (unknown | unknown);
        Imported: {
            id: components["schemas"]["Id"];
            organization_id: components["schemas"]["Id"];
            integration_type: string;
            account_id: string;
            replaced: boolean;
            refreshable: boolean;
            /** @enum {unknown} */
            not_refreshable_reason: "no_refresh_token" | "no_expiry" | null;
        };
        ConnectSession: {
            id: components["schemas"]["Id"];
            /** @enum {unknown} */
            state: "pending" | "opened" | "waiting_for_completion" | "completed" | "failed" | "expired";
            failure: string | null;
            organization_id: components["schemas"]["Id"];
            external_user_id: string;
            external_user_name: string | null;
            integration_types: string[];
            scopes: {
                [key: string]: string[];
            };
            oauth_apps: components["schemas"]["AppsByType"];
            return_url: string;
            metadata: Record<string, never>;
            tags: components["schemas"]["Tags"] | null;
            created_at: string;
            expires_at: string;
            integration: {
                id: components["schemas"]["Id"];
                integration_type: string;
                name: string;
                status: string;
                created_at: components["schemas"]["OptionalTime"];
                organization_id: components["schemas"]["Id"];
                external_account_id: string | null;
                external_user_id: string | null;
            } | null;
        };
        OpenedConnectSession: {
            id: components["schemas"]["Id"];
            /** @enum {unknown} */
            state: "pending" | "opened" | "waiting_for_completion" | "completed" | "failed" | "expired";
            is_open: boolean;
            return_origin: string;
            external_user: string;
            integration_types: string[];
            providers: components["schemas"]["Provider"][];
            reconnects: boolean;
            choice: {
                integration_type: string;
                accounts: components["schemas"]["Account"][];
            } | null;
            expires_at: string;
        };
        ServiceKeyProperties: {
            id: components["schemas"]["Id"];
            organization_id: components["schemas"]["OptionalId"];
            name: string;
            prefix: string;
            scopes: components["schemas"]["Scope"][];
            created_by: components["schemas"]["OptionalId"];
            created_at: string;
            expires_at: components["schemas"]["OptionalTime"];
            revoked_at: components["schemas"]["OptionalTime"];
            last_used_at: components["schemas"]["OptionalTime"];
        };
        ServiceKey: components["schemas"]["ServiceKeyProperties"];
        NewServiceKey: {
            key: string;
        } & components["schemas"]["ServiceKeyProperties"];
        /** @description The organization's own app of each type; null is the deployment's */
        AppsByType: {
            [key: string]: string | null;
        };
        OauthApp: {
            id: components["schemas"]["Id"];
            organization_id: components["schemas"]["Id"];
            integration_type: string;
            name: string;
            client_id: string;
            slug: string | null;
            has_fallback_secret: boolean;
            connections: number;
            created_at: string;
            updated_at: string;
        };
        Maps: {
            [key: string]: string[];
        };
        Remediation: {
            text: string;
            url: string | null;
        };
        Check: {
            id: string;
            version: number;
            integration_type: string;
            title: string;
            why: string;
            severity: components["schemas"]["Severity"];
            /** @enum {unknown} */
            state: "verified" | "documented";
            manual: boolean;
            needs: string[];
            remediation: components["schemas"]["Remediation"];
            basis: string | null;
            maps: components["schemas"]["Maps"];
        };
        Coverage: {
            integration_type: string;
            requested_scopes: string[] | null;
            granted_scopes: string[] | null;
            assessment_id: components["schemas"]["OptionalId"];
            total: number;
            runnable: number;
            missing: number;
            manual: number;
            missing_scopes: string[];
            checks: {
                id: string;
                title: string;
                severity: components["schemas"]["Severity"];
                /** @enum {unknown} */
                status: "runnable" | "missing" | "manual";
                needs: string[];
                missing: string[];
                last: {
                    status: components["schemas"]["CheckStatus"];
                    reason: string | null;
                } | null;
            }[];
            remedy: {
                action: string;
                method: string;
                path: string;
                add_scopes_first: boolean;
            } | null;
        };
        /** @enum {unknown} */
        CheckStatus: "pass" | "fail" | "unknown" | "not_applicable" | "manual";
        AssessmentProperties: {
            id: components["schemas"]["Id"];
            organization_id: components["schemas"]["Id"];
            integration_id: components["schemas"]["Id"];
            integration_type: string;
            /** @enum {unknown} */
            trigger: "schedule" | "user";
            slot: components["schemas"]["OptionalTime"];
            requested_by: components["schemas"]["OptionalId"];
            /** @enum {unknown} */
            state: "queued" | "running" | "done";
            /** @enum {unknown} */
            outcome: "complete" | "incomplete" | "not_run" | null;
            reason: string | null;
            baseline: boolean | null;
            requests: number;
            results: {
                total: number;
                passed: number;
                failed: number;
                unknown: number;
                not_applicable: number;
            } | null;
            findings: {
                opened: number;
                reopened: number;
                resolved: number;
                unverified: number;
                muted: number;
            } | null;
            queued_at: string;
            started_at: components["schemas"]["OptionalTime"];
            finished_at: components["schemas"]["OptionalTime"];
        };
        Assessment: components["schemas"]["AssessmentProperties"];
        AssessmentWithChecks: {
            checks: {
                check_id: string;
                check_version: number;
                status: components["schemas"]["CheckStatus"];
                reason: string | null;
                needs: string[];
                complete: boolean;
                passed: number;
                failed: number;
                unknown: number;
                not_applicable: number;
            }[];
        } & components["schemas"]["AssessmentProperties"];
        FindingProperties: {
            id: components["schemas"]["Id"];
            organization_id: components["schemas"]["Id"];
            integration_id: components["schemas"]["Id"];
            integration_type: string;
            check_id: string;
            check_version: number;
            title: string | null;
            severity: components["schemas"]["Severity"];
            /** @enum {unknown} */
            state: "open" | "resolved" | "archived";
            ended_as: string | null;
            resource: {
                type: string;
                id: string;
                name: string | null;
            };
            item: string;
            muted_until: components["schemas"]["OptionalTime"];
            unverified_since: components["schemas"]["OptionalTime"];
            unverified_reason: string | null;
            reopened: number;
            first_seen_at: string;
            opened_at: string;
            ended_at: components["schemas"]["OptionalTime"];
        };
        Finding: components["schemas"]["FindingProperties"];
        FindingWithEvidence: {
            evidence: Record<string, never>;
            why: string | null;
            remediation: components["schemas"]["Remediation"] | null;
            maps: components["schemas"]["Maps"] | null;
            mutes: components["schemas"]["Mute"][];
        } & components["schemas"]["FindingProperties"];
        FindingEvent: {
            id: number;
            occurred_at: string;
            assessment_id: components["schemas"]["OptionalId"];
            /** @enum {unknown} */
            action: "opened" | "reopened" | "resolved" | "archived" | "unverified" | "verified" | "severity_changed";
            /** @enum {unknown} */
            cause: "configuration" | "check" | "permission" | "user" | "time" | null;
            reason: string | null;
        };
        Mute: {
            id: components["schemas"]["Id"];
            organization_id: components["schemas"]["Id"];
            integration_id: components["schemas"]["OptionalId"];
            check_id: string;
            title: string | null;
            resource_id: string | null;
            item: string | null;
            reason: components["schemas"]["MuteReason"];
            note: string;
            created_by: components["schemas"]["Id"];
            created_at: string;
            expires_at: string;
            ended_at: components["schemas"]["OptionalTime"];
            ended_by: components["schemas"]["OptionalId"];
            active?: boolean;
            matches?: boolean;
        };
        WebhookProperties: {
            id: components["schemas"]["Id"];
            /** @description Null: it gets the events of all organizations. */
            organization_id: components["schemas"]["OptionalId"];
            url: string;
            events: components["schemas"]["EventTypes"];
            min_severity: components["schemas"]["OptionalSeverity"];
            enabled: boolean;
            disabled_reason: string | null;
            previous_secret_ends_at: components["schemas"]["OptionalTime"];
            created_at: string;
        };
        Webhook: components["schemas"]["WebhookProperties"];
        WebhookWithSecret: {
            secret: string;
        } & components["schemas"]["WebhookProperties"];
        Delivery: {
            event_id: components["schemas"]["Id"];
            type: string;
            integration_id: components["schemas"]["Id"];
            occurred_at: string;
            /** @enum {unknown} */
            state: "pending" | "delivered" | "failed";
            attempts: number;
            last_attempt_at: components["schemas"]["OptionalTime"];
            last_status: number | null;
            last_error: string | null;
            next_attempt_at: components["schemas"]["OptionalTime"];
        };
    };
    responses: {
        /** @description An error */
        Error: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description An error, as a page for a browser */
        ErrorPage: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
                "text/html": string;
            };
        };
        /** @description It is done */
        Done: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": {
                    /** @constant */
                    success: true;
                };
            };
        };
        /** @description Where the browser goes, and a cookie that binds the flow to it */
        AuthorizationUrl: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": {
                    authorization_url: string;
                };
            };
        };
        /** @description Where the browser goes */
        ReturnTo: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": {
                    return_to: string;
                };
            };
        };
        /** @description The session */
        OpenedConnectSession: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OpenedConnectSession"];
            };
        };
        /** @description The scan that has not ended */
        Queued: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": {
                    id: components["schemas"]["Id"];
                    /** @enum {unknown} */
                    state: "queued" | "running";
                };
            };
        };
    };
    parameters: {
        Id: components["schemas"]["Id"];
        Type: components["schemas"]["TypeName"];
        OrganizationId: components["schemas"]["Id"];
        IntegrationId: components["schemas"]["Id"];
        /** @description The `next_cursor` of the page before */
        Cursor: string;
        Limit: number;
    };
    requestBodies: {
        Empty: {
            content: {
                "application/json": Record<string, never>;
            };
        };
        Credential: {
            content: {
                "application/json": {
                    valid_for?: number | null;
                    /** @enum {unknown} */
                    form?: "sealed" | "plain";
                };
            };
        };
    };
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    health: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description They are */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @constant */
                        status: "ok";
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listProviders: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The types */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        providers: components["schemas"]["Provider"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getSession: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The user */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WhoAmI"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    signIn: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    email: string;
                    password: string;
                } | {
                    email: string;
                    code: string;
                } | {
                    email: string;
                    token_hash: string;
                } | {
                    access_token: string;
                    refresh_token?: string | null;
                } | {
                    /** @constant */
                    refresh: true;
                };
            };
        };
        responses: {
            /** @description The user, and the session's cookies */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Session"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    signOut: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Done"];
            default: components["responses"]["Error"];
        };
    };
    listSignInMethods: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The ways that Supabase Auth has switched on */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description By password and by a code sent by e-mail */
                        email: boolean;
                        /** @description OAuth providers, by Supabase's names */
                        providers: string[];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    sendSignInCode: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    email: string;
                };
            };
        };
        responses: {
            200: components["responses"]["Done"];
            default: components["responses"]["Error"];
        };
    };
    beginSignIn: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    provider: string;
                    return_to?: components["schemas"]["ReturnPath"];
                };
            };
        };
        responses: {
            200: components["responses"]["AuthorizationUrl"];
            default: components["responses"]["Error"];
        };
    };
    finishSignIn: {
        parameters: {
            query?: {
                code?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The browser goes on to `return_to`, signed in or with `sign_in=failed` */
            303: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            default: components["responses"]["Error"];
        };
    };
    authorize: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    integration_type: components["schemas"]["TypeName"];
                    organization_id?: components["schemas"]["OptionalId"];
                    return_to?: components["schemas"]["ReturnPath"];
                    oauth_app_id?: components["schemas"]["OptionalId"];
                };
            };
        };
        responses: {
            200: components["responses"]["AuthorizationUrl"];
            default: components["responses"]["Error"];
        };
    };
    callbackOfSupabase: {
        parameters: {
            query?: {
                code?: string;
                state?: string;
                iss?: string;
                error?: string;
                error_description?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description To the page that the connection was begun from */
            303: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            default: components["responses"]["ErrorPage"];
        };
    };
    callback: {
        parameters: {
            query?: {
                code?: string;
                state?: string;
                iss?: string;
                error?: string;
                error_description?: string;
            };
            header?: never;
            path: {
                type: components["parameters"]["Type"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description To the page that the connection was begun from */
            303: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            default: components["responses"]["ErrorPage"];
        };
    };
    listAccounts: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The accounts */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PendingConnection"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    selectAccount: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    account_id: string;
                };
            };
        };
        responses: {
            /** @description The integration, and where the browser goes */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        id: components["schemas"]["Id"];
                        return_to: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    discardConnection: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Whether the grant is revoked */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @constant */
                        success: true;
                        revoked: components["schemas"]["Revoked"];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listIntegrations: {
        parameters: {
            query?: {
                organization_id?: components["parameters"]["OrganizationId"];
                /** @description For a user */
                offset?: number;
                /** @description For a program */
                integration_type?: components["schemas"]["TypeName"];
                /** @description For a program */
                status?: components["schemas"]["Status"];
                /** @description For a program */
                external_user_id?: string;
                tag?: components["schemas"]["Tag"];
                /** @description The `next_cursor` of the page before */
                cursor?: components["parameters"]["Cursor"];
                limit?: components["parameters"]["Limit"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        integrations: components["schemas"]["ListedIntegration"][];
                        count: number;
                    } | {
                        integrations: components["schemas"]["Integration"][];
                        next_cursor: components["schemas"]["NextCursor"];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createIntegration: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    integration_type: components["schemas"]["TypeName"];
                    organization_id?: components["schemas"]["OptionalId"];
                    name?: string | null;
                    fields: {
                        [key: string]: string;
                    };
                };
            };
        };
        responses: {
            /** @description The account was connected already */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Integration"];
                };
            };
            /** @description The integration */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Integration"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getIntegration: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The integration */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Integration"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    disconnectIntegration: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Whether the grant is revoked */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @constant */
                        success: true;
                        message: string;
                        revoked: components["schemas"]["Revoked"];
                        ended?: components["schemas"]["Id"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    changeIntegration: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    name?: components["schemas"]["Name"];
                    scan_schedule?: string | null;
                    tags?: components["schemas"]["Tags"];
                };
            };
        };
        responses: {
            /** @description The integration */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Integration"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    replaceCredentials: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    fields: {
                        [key: string]: string;
                    };
                };
            };
        };
        responses: {
            /** @description The integration */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Integration"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    refreshIntegration: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: components["requestBodies"]["Empty"];
        responses: {
            /** @description The outcome */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        refreshed: boolean;
                        expires_at: components["schemas"]["OptionalTime"];
                        status: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    checkIntegration: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: components["requestBodies"]["Empty"];
        responses: {
            /** @description The result */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        status: components["schemas"]["Status"];
                        status_reason: string | null;
                        last_checked_at: components["schemas"]["OptionalTime"];
                        next_check_at: components["schemas"]["OptionalTime"];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    reconnectIntegration: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    return_to?: components["schemas"]["ReturnPath"];
                    oauth_app_id?: components["schemas"]["OptionalId"];
                };
            };
        };
        responses: {
            200: components["responses"]["AuthorizationUrl"];
            default: components["responses"]["Error"];
        };
    };
    listEvents: {
        parameters: {
            query?: {
                /** @description The `next_cursor` of the page before */
                cursor?: components["parameters"]["Cursor"];
                limit?: components["parameters"]["Limit"];
            };
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        events: components["schemas"]["Event"][];
                        next_cursor: components["schemas"]["NextCursor"];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    importIntegration: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    organization_id: components["schemas"]["Id"];
                    integration_type: components["schemas"]["TypeName"];
                    /** @description A grant (access_token or refresh_token or both, expires_at, scope), or the fields of the type */
                    credential?: {
                        [key: string]: unknown;
                    };
                    /** @description In its place: an opened config of an integration, of which the credential is taken */
                    config?: {
                        [key: string]: unknown;
                    };
                    account_id?: string | null;
                    external_user_id?: string | null;
                    replace?: boolean;
                } & (unknown | unknown);
            };
        };
        responses: {
            /** @description The integration, whose credentials were replaced */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Imported"];
                };
            };
            /** @description The new integration */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Imported"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    readCredential: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: components["requestBodies"]["Credential"];
        responses: {
            /** @description The credential */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Credential"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    readCredentialOfType: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
                type: components["parameters"]["Type"];
            };
            cookie?: never;
        };
        requestBody: components["requestBodies"]["Credential"];
        responses: {
            /** @description The credential */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Credential"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createConnectSession: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    organization_id: components["schemas"]["Id"];
                    external_user_id: string;
                    external_user_name?: string | null;
                    integration_types?: string[] | null;
                    integration_id?: components["schemas"]["OptionalId"];
                    return_url: string;
                    state?: string | null;
                    code_challenge: string;
                    scopes?: {
                        [key: string]: string[];
                    };
                    oauth_apps?: components["schemas"]["AppsByType"];
                    metadata?: Record<string, never>;
                    tags?: components["schemas"]["Tags"] | null;
                };
            };
        };
        responses: {
            /** @description The link */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        id: components["schemas"]["Id"];
                        url: string;
                        expires_at: string;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getConnectSession: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The session */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConnectSession"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    completeConnectSession: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    code: string;
                    code_verifier: string;
                };
            };
        };
        responses: {
            /** @description The session */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConnectSession"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    openConnectSession: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    token: string;
                };
            };
        };
        responses: {
            200: components["responses"]["OpenedConnectSession"];
            default: components["responses"]["Error"];
        };
    };
    getOpenedConnectSession: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["OpenedConnectSession"];
            default: components["responses"]["Error"];
        };
    };
    authorizeInConnectSession: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    integration_type: components["schemas"]["TypeName"];
                };
            };
        };
        responses: {
            200: components["responses"]["AuthorizationUrl"];
            default: components["responses"]["Error"];
        };
    };
    enterCredentialsInConnectSession: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    integration_type: components["schemas"]["TypeName"];
                    fields: {
                        [key: string]: string;
                    };
                };
            };
        };
        responses: {
            200: components["responses"]["ReturnTo"];
            default: components["responses"]["Error"];
        };
    };
    selectAccountInConnectSession: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    account_id: string;
                };
            };
        };
        responses: {
            200: components["responses"]["ReturnTo"];
            default: components["responses"]["Error"];
        };
    };
    cancelConnectSession: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: components["requestBodies"]["Empty"];
        responses: {
            200: components["responses"]["ReturnTo"];
            default: components["responses"]["Error"];
        };
    };
    listServiceKeys: {
        parameters: {
            query?: {
                organization_id?: components["parameters"]["OrganizationId"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The keys, the newest first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        service_keys: components["schemas"]["ServiceKey"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    createServiceKey: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    organization_id?: components["schemas"]["OptionalId"];
                    name: components["schemas"]["Name"];
                    scopes: components["schemas"]["Scope"][];
                    /** Format: date-time */
                    expires_at?: string | null;
                };
            };
        };
        responses: {
            /** @description The key */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NewServiceKey"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    revokeServiceKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The key */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ServiceKey"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listOauthApps: {
        parameters: {
            query?: {
                organization_id?: components["parameters"]["OrganizationId"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The apps, and the types that an app can be added for */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        oauth_apps: components["schemas"]["OauthApp"][];
                        types: {
                            integration_type: string;
                            name: string;
                            /** @description What the app is registered with at the provider */
                            redirect_uri: string;
                            needs_slug: boolean;
                        }[];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    addOauthApp: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    organization_id?: components["schemas"]["OptionalId"];
                    integration_type: components["schemas"]["TypeName"];
                    name: components["schemas"]["Name"];
                    client_id: string;
                    client_secret: string;
                    slug?: string | null;
                };
            };
        };
        responses: {
            /** @description The app */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OauthApp"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteOauthApp: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Done"];
            default: components["responses"]["Error"];
        };
    };
    changeOauthApp: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    name?: components["schemas"]["Name"];
                    client_secret?: string;
                    /** @description Drops the former secret */
                    fallback_client_secret?: null;
                };
            };
        };
        responses: {
            /** @description The app */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OauthApp"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listChecks: {
        parameters: {
            query?: {
                integration_type?: components["schemas"]["TypeName"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The checks */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        catalogue: string;
                        checks: components["schemas"]["Check"][];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getCoverage: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The coverage */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Coverage"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    scanIntegration: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": Record<string, never>;
            };
        };
        responses: {
            200: components["responses"]["Queued"];
            202: components["responses"]["Queued"];
            default: components["responses"]["Error"];
        };
    };
    listAssessments: {
        parameters: {
            query?: {
                organization_id?: components["parameters"]["OrganizationId"];
                integration_id?: components["parameters"]["IntegrationId"];
                /** @description The `next_cursor` of the page before */
                cursor?: components["parameters"]["Cursor"];
                limit?: components["parameters"]["Limit"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        assessments: components["schemas"]["Assessment"][];
                        next_cursor: components["schemas"]["NextCursor"];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getAssessment: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The scan */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AssessmentWithChecks"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listFindings: {
        parameters: {
            query?: {
                organization_id?: components["parameters"]["OrganizationId"];
                integration_id?: components["parameters"]["IntegrationId"];
                integration_type?: components["schemas"]["TypeName"];
                severity?: components["schemas"]["Severity"];
                state?: "open" | "resolved" | "archived";
                check_id?: string;
                muted?: boolean;
                /** @description The `next_cursor` of the page before */
                cursor?: components["parameters"]["Cursor"];
                limit?: components["parameters"]["Limit"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        findings: components["schemas"]["Finding"][];
                        next_cursor: components["schemas"]["NextCursor"];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    getFinding: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The finding */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FindingWithEvidence"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listFindingEvents: {
        parameters: {
            query?: {
                /** @description The `next_cursor` of the page before */
                cursor?: components["parameters"]["Cursor"];
                limit?: components["parameters"]["Limit"];
            };
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        events: components["schemas"]["FindingEvent"][];
                        next_cursor: components["schemas"]["NextCursor"];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listMutes: {
        parameters: {
            query?: {
                organization_id?: components["parameters"]["OrganizationId"];
                active?: boolean;
                /** @description The `next_cursor` of the page before */
                cursor?: components["parameters"]["Cursor"];
                limit?: components["parameters"]["Limit"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        mutes: components["schemas"]["Mute"][];
                        next_cursor: components["schemas"]["NextCursor"];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    addMute: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    organization_id?: components["schemas"]["OptionalId"];
                    check_id: string;
                    integration_id?: components["schemas"]["OptionalId"];
                    resource_id?: string | null;
                    item?: string | null;
                    reason: components["schemas"]["MuteReason"];
                    note: string;
                    /** Format: date-time */
                    expires_at: string;
                };
            };
        };
        responses: {
            /** @description The mute */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Mute"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    endMute: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Done"];
            default: components["responses"]["Error"];
        };
    };
    exportEvents: {
        parameters: {
            query?: {
                organization_id?: components["parameters"]["OrganizationId"];
                /** @description The `next_cursor` of the page before */
                cursor?: components["parameters"]["Cursor"];
                limit?: components["parameters"]["Limit"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The lines */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/x-ndjson": string;
                };
            };
            default: components["responses"]["Error"];
        };
    };
    exportFindings: {
        parameters: {
            query?: {
                organization_id?: components["parameters"]["OrganizationId"];
                integration_id?: components["parameters"]["IntegrationId"];
                /** @description One past run, instead of the present state. */
                assessment_id?: string;
                format?: "json" | "csv" | "sarif" | "ocsf";
                /** @description The `next_cursor` of the page before */
                cursor?: components["parameters"]["Cursor"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The file */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never> | unknown[];
                    "text/csv": string;
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listWebhooks: {
        parameters: {
            query?: {
                organization_id?: components["parameters"]["OrganizationId"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The webhooks */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        webhooks: components["schemas"]["Webhook"][];
                        has_more: boolean;
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    addWebhook: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    organization_id?: components["schemas"]["OptionalId"];
                    /** Format: uri */
                    url: string;
                    events?: components["schemas"]["EventTypes"];
                    min_severity?: components["schemas"]["OptionalSeverity"];
                };
            };
        };
        responses: {
            /** @description The webhook */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WebhookWithSecret"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    deleteWebhook: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Done"];
            default: components["responses"]["Error"];
        };
    };
    changeWebhook: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** Format: uri */
                    url?: string;
                    events?: components["schemas"]["EventTypes"];
                    min_severity?: components["schemas"]["OptionalSeverity"];
                    enabled?: boolean;
                };
            };
        };
        responses: {
            /** @description The webhook */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Webhook"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    rotateWebhookSecret: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: components["requestBodies"]["Empty"];
        responses: {
            /** @description The webhook */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WebhookWithSecret"];
                };
            };
            default: components["responses"]["Error"];
        };
    };
    listDeliveries: {
        parameters: {
            query?: {
                /** @description The `next_cursor` of the page before */
                cursor?: components["parameters"]["Cursor"];
                limit?: components["parameters"]["Limit"];
            };
            header?: never;
            path: {
                id: components["parameters"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        deliveries: components["schemas"]["Delivery"][];
                        next_cursor: components["schemas"]["NextCursor"];
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
    replayDelivery: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["Id"];
                event_id: components["schemas"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: components["requestBodies"]["Empty"];
        responses: {
            /** @description The next run sends it */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        event_id: components["schemas"]["Id"];
                        /** @constant */
                        state: "pending";
                    };
                };
            };
            default: components["responses"]["Error"];
        };
    };
}
