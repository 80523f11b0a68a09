// What the tests of the webhooks' tables share.
import { randomUUID } from "node:crypto";

import { addMember, call, KID } from "./support.mjs";

/** Secrets as the worker stores them. */
export function secrets(kid = KID.a, fields = {}) {
  return { secret: "aXY=.dGFn.Y2lwaGVy", ...fields, _enc: { v: 2, kid } };
}

/** Arguments of create_webhook_endpoint that are fine, save what `over` says. */
export function endpointArgs(organization, over = {}) {
  return {
    p_id: randomUUID(),
    p_user_id: organization,
    p_organization_id: organization,
    p_url: "https://receiver.example.com/hook",
    p_events: null,
    p_config: secrets(),
    ...over,
  };
}

/** Makes an endpoint: `{ id, user, organization }`. Without `p_user_id` the organisation is the user's own. */
export async function endpointOf(sql, organization, over = {}) {
  const args = endpointArgs(organization, over);
  const { outcome } = await call(sql, "create_webhook_endpoint", args);
  if (outcome !== "created") throw new Error(`create_webhook_endpoint: ${outcome}`);
  return { id: args.p_id, user: args.p_user_id, organization };
}

/** A member of a new organisation that has an endpoint: `{ id, user, organization }`. */
export async function memberWithEndpoint(owner, service, over = {}) {
  const [user, organization] = [randomUUID(), randomUUID()];
  await addMember(owner, organization, user);
  return endpointOf(service, organization, { p_user_id: user, ...over });
}

/** The deliveries of an integration with their events' data, in their order. */
export async function deliveriesOf(owner, integration) {
  return owner`
    select d.*, w.data from public.webhook_deliveries d join private.webhook_events w on w.id = d.event_id
    where d.integration_id = ${integration} order by d.position`;
}
