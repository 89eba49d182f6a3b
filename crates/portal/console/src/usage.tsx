// How much a product was called in the last 24 hours, beside what its plans allow.
import { limitText } from "./limits";
import type { Resource } from "./resource";
import { me } from "./session";
import { Skeleton } from "./states";
import type { Plan, Usage } from "./types";

export function UsageCard({ usage }: { usage: Resource<Usage> }) {
  const { data, problem } = usage;
  const plans = data?.plans ?? [];
  return (
    <section class="card stack" aria-labelledby="usage">
      <h2 id="usage">Usage, last 24 hours</h2>
      {!data && !problem && <Skeleton lines={3} />}
      {problem && <p class="soft">{problem.message}</p>}
      {data && !data.available && (
        <p class="soft wrap">{data.why ?? "There are no figures. Start the portal with --usage-prometheus-url to see them."}</p>
      )}
      {data?.available && <PlanFigures plans={plans} />}
      {data?.available && data.users && <UserFigures users={data.users} plans={plans} />}
    </section>
  );
}

/** All calls of each plan. There is no bar: they are those of many users, and each has the limit for himself. */
function PlanFigures({ plans }: { plans: NonNullable<Usage["plans"]> }) {
  if (!plans.length) return <p class="soft">There is no plan to count calls for.</p>;
  return (
    <ul class="links" aria-label="Usage by plan">
      {plans.map(({ tier, limits, calls24h, limited24h }) => (
        <li key={tier}>
          <span class="row">
            <span class="strong grow">{tier}</span>
            <span>{`${calls24h.toLocaleString("en")} calls`}</span>
            <span class={limited24h ? "warn-text" : "soft"}>{`${limited24h.toLocaleString("en")} limited`}</span>
          </span>
          <span class="soft small">{`Limit of each user: ${limitText(limits)}`}</span>
        </li>
      ))}
    </ul>
  );
}

/** Each user beside the limit; whoever decides about no keys gets only rows of his own. */
function UserFigures({ users, plans }: { users: NonNullable<Usage["users"]>; plans: Plan[] }) {
  if (!users.length) return <p class="soft">None of these calls was yours.</p>;
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
              {user === me.value?.user ? `${user} (you)` : user || "unknown"}
            </td>
            <td data-label="Plan">{tier || "–"}</td>
            <td data-label="Calls">
              <Calls who={user} calls={calls24h} daily={plans.find((plan) => plan.tier === tier)?.limits?.daily} />
            </td>
            <td data-label="Limited" class={limited24h ? "warn-text" : undefined}>
              {limited24h.toLocaleString("en")}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Calls({ who, calls, daily }: { who: string; calls: number; daily: number | undefined }) {
  if (daily === undefined) return <>{calls.toLocaleString("en")}</>;
  return (
    <span class="figure">
      <span>{`${calls.toLocaleString("en")} of ${daily.toLocaleString("en")} a day`}</span>
      <progress class="bar-meter" max={Math.max(daily, 1)} value={Math.min(calls, Math.max(daily, 1))} aria-label={`Calls of ${who}`} />
    </span>
  );
}
