/** How often an operator has asked for a network's channels to be restarted: every instance sees it grow, and does it. */
export const channelRestarts = `
alter table networks add column channel_restarts integer not null default 0;
`
