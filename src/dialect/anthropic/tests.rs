mod answers;
mod inbound;
mod outbound;
