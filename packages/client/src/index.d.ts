import type { components, paths } from './schema.js';

export type { components, paths };

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
type PathsWith<M extends Method> = { [P in keyof paths]: paths[P] extends Record<Lowercase<M>, { responses: unknown }> ? P : never }[keyof paths];
type Operation<M extends Method, P extends keyof paths> = paths[P] extends Record<Lowercase<M>, infer O> ? O : never;
type Json<T> = T extends { content: infer C } ? C[keyof C] : undefined;
type Body<O> = O extends { requestBody: infer B } ? { body: Json<B> } : O extends { requestBody?: infer B } ? { body?: Json<NonNullable<B>> } : { body?: undefined };
type Params<O> = O extends { parameters: { path: infer P; query?: infer Q } }
  ? { params: { path: P; query?: Q } }
  : O extends { parameters: { query?: infer Q } }
    ? { params?: { query?: Q } }
    : { params?: undefined };
type Success<O> = O extends { responses: infer R } ? { [S in keyof R]: S extends 200 | 201 | 202 ? Json<R[S]> : never }[keyof R] : never;

/** An answer that is an error. */
export declare class ApiError extends Error {
  readonly status: number;
  /** Stable. A code that this version does not know may come. */
  readonly code: components['schemas']['ErrorCode'] | (string & {});
  readonly requestId: string | null;
  /** In seconds, where the API says when to try again. */
  readonly retryAfter: number | null;
}

export interface Client {
  /** Sends one request. Returns the content of the answer, or throws an `ApiError`. */
  request<M extends Method, P extends PathsWith<M>>(
    method: M,
    path: P,
    ...options: object extends Params<Operation<M, P>> & Body<Operation<M, P>>
      ? [options?: Params<Operation<M, P>> & Body<Operation<M, P>>]
      : [options: Params<Operation<M, P>> & Body<Operation<M, P>>]
  ): Promise<Success<Operation<M, P>>>;
}

/** A client of the API at `url`, with a service key or a user's access token. */
export declare function createClient(options: { url: string; token?: string; fetch?: typeof globalThis.fetch }): Client;
