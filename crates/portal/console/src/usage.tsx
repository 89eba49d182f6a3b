// How much a product was called in the last 24 hours, beside what its plans allow.
import { limitText } from "./limits";
import type { Resource } from "./resource";
import { Skeleton } from "./states";
import type { Usage } from "./types";

export function UsageCard({ usage }: { usage: Resource<Usage> }) {
  const { data, problem } = usage;
  return (
    <section class="card stack" aria-labelledby="usage">
      <h2 id="usage">Usage, last 24 hours</h2>
      {!data && !problem && <Skeleton lines={3} />}
      {problem && <p class="soft">{problem.message}</p>}
      {data && !data.available && (
        <p class="soft">{data.why ?? "There are no figures. Start the portal with --usage-prometheus-url to see them."}</p>
      )}
      {data?.available && <PlanFigures plans={data.plans ?? []} />}
      {data?.available && (data.users ?? []).length > 0 && <UserFigures users={data.users ?? []} />}
    </section>
  );
}

function PlanFigures({ plans }: { plans: NonNullable<Usage["plans"]> }) {
  if (!plans.length) return <p class="soft">There is no plan to count calls for.</p>;
  return (
    <ul class="stack">
      {plans.map(({ tier, limits, calls24h, limited24h }) => (
        <li key={tier} class="figure">
          <span class="row">
            <span class="strong grow">{tier}</span>
            <span>{`${calls24h.toLocaleString("en")} calls`}</span>
            <span class={limited24h ? "warn-text" : "soft"}>{`${limited24h.toLocaleString("en")} limited`}</span>
          </span>
          <progress class="bar-meter" max={Math.max(limits?.daily ?? 0, calls24h, 1)} value={calls24h} aria-label={`Calls of ${tier}`} />
          <span class="soft small">{`Limit of each key: ${limitText(limits)}`}</span>
        </li>
      ))}
    </ul>
  );
}

function UserFigures({ users }: { users: NonNullable<Usage["users"]> }) {
  return (
    <table>
      <caption class="unseen">Usage by user</caption>
      <thead>
        <tr>
          <th scope="col">User</th>
          <th scope="col">Plan</th>
          <th scope="col">Calls</th>
          <th scope="col">Limited</th>
        </tr>
      </thead>
      <tbody>
        {users.map(({ user, tier, calls24h, limited24h }) => (
          <tr key={`${user} ${tier}`}>
            <td data-label="User" class="wrap">
              {user}
            </td>
            <td data-label="Plan">{tier ?? "–"}</td>
            <td data-label="Calls">{calls24h.toLocaleString("en")}</td>
            <td data-label="Limited">{limited24h.toLocaleString("en")}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
